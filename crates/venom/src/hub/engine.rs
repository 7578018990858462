//! The owner's side: store and model in this process, behind a queue, and a socket for the others.

use super::calls::{Answer, BackupCall, Call, PastAnswer, carry_out};
use super::queue::{Lane, Queue, Refused};
use super::retention::Retention;
use super::socket::Listener;
use super::spaces::SpaceCall;
use super::{cleanness, predecessor};
use crate::asked::SystemClock;
use crate::config::Config;
use crate::failure::Failure;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::{Mutex, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use venom_core::use_cases::{TimeIds, Venom};
use venom_core::{Embedder, ErrorKind, MemoryStore, ModelStamp, RequestKey};
use venom_embed::MiniLm;
use venom_store::{Lease, SqliteStore};

/// Looks at the store at a time that do not go through the queue.
const LOOKS_MAX: usize = 8;

/// Store, model, queue and socket of the process that owns a data folder.
pub(super) struct Engine {
    /// `None` once the engine is closed: the store must be shut before the lease is given up.
    venom: RwLock<Option<Parts>>,
    queue: Arc<Queue>,
    /// Looks at the store that do not go through the queue; each may hang as long as a disk does.
    looks: Arc<Semaphore>,
    listener: Mutex<Option<Listener>>,
    /// Cancelled when it closes.
    ends: CancellationToken,
    /// Erases what was forgotten long ago.
    retention: Option<Retention>,
}

/// What a call is carried out with. Cheap to clone.
#[derive(Clone)]
struct Parts {
    venom: Arc<Venom>,
    /// For what concerns its files.
    store: Arc<SqliteStore>,
    cleanness: cleanness::Watch,
}

/// Finds the model without opening it, for the check of the configuration.
///
/// # Errors
/// One sentence: unknown name, or not found and where it was sought.
pub(crate) fn preflight(config: &Config) -> Result<(), Failure> {
    Ok(venom_embed::locate(&config.model, &config.model_folders).map(drop)?)
}

impl Engine {
    /// Opens model and store (at the same time), starts the workers and the socket.
    pub(super) async fn open(config: Arc<Config>, lease: Lease) -> Result<Arc<Self>, Failure> {
        let settings = config.clone();
        let (parts, lease) = tokio::task::spawn_blocking(move || open_parts(&settings, lease))
            .await
            .map_err(|e| Failure::internal(format!("opening failed: {e}")))??;
        let queue = Queue::start(config.workers, config.queue_calls_max)
            .map_err(|e| Failure::not_ready(format!("worker threads cannot be started: {e}")))?;
        let queue = Arc::new(queue);
        let retention = Retention::start(&config, &parts.venom, &queue);
        let engine = Arc::new(Self {
            venom: RwLock::new(Some(parts)),
            queue,
            looks: Arc::new(Semaphore::new(LOOKS_MAX)),
            listener: Mutex::new(None),
            ends: CancellationToken::new(),
            retention,
        });
        match Listener::start(&config.data, engine.clone(), lease) {
            Ok(listener) => *engine.listener.lock().await = Some(listener),
            Err(failure) => return Err(failure),
        }
        Ok(engine)
    }

    /// Carries out a call on a worker and waits for its answer.
    pub(super) async fn call(&self, call: Call, key: RequestKey) -> Result<Answer, Failure> {
        let lane = match call {
            Call::Recall(_)
            | Call::List(_)
            | Call::Show(_)
            | Call::Quarantined(..)
            | Call::LookAtImport(_)
            | Call::Spaces(SpaceCall::List) => Some(Lane::Quick),
            Call::Remember(_)
            | Call::RememberConversation(_)
            | Call::Update(..)
            | Call::Embed(_)
            | Call::Forget(..)
            | Call::Restore(..)
            | Call::Judge(..)
            | Call::Import(_)
            | Call::Spaces(_)
            | Call::Backup(BackupCall::Note(_)) => Some(Lane::Bulk),
            Call::Past(ref past) => Some(past.lane()),
            // The first two are asked by health checks and must be answered when the queue is full, too. A copy of the
            // database takes long and needs no model: no worker is kept busy with it.
            Call::Stats(_)
            | Call::Check
            | Call::Backup(BackupCall::List | BackupCall::Snapshot(_)) => None,
        };
        let (answer, answered) = oneshot::channel();
        let parts = self
            .venom
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let parts = parts.ok_or_else(|| refused(Refused::Closed))?;
        let cleanness = parts.cleanness.clone();
        let job = move || {
            // The caller may have gone; what was asked is done all the same.
            let _ = answer.send(carry_out(&parts.venom, &parts.store, (call, key)));
        };
        if let Some(lane) = lane {
            self.queue.submit(lane, job).map_err(refused)?;
        } else {
            let Ok(permit) = self.looks.clone().acquire_owned().await else {
                return Err(refused(Refused::Closed));
            };
            // A caller that gives up does not end the look.
            let look = move || {
                job();
                drop(permit);
            };
            drop(tokio::task::spawn_blocking(look));
        }
        let bug = |_| Failure::internal("the call failed because of a bug in Venom: see its log");
        let answer = answered.await.map_err(bug)?.inspect_err(log_cause)?;
        if let Answer::Past(PastAnswer::Erasures(erasures)) = answer {
            let erasures = cleanness::settled(erasures, cleanness, &self.ends).await;
            return Ok(Answer::Past(PastAnswer::Erasures(erasures)));
        }
        Ok(answer)
    }

    /// Finishes what is under way, then lets the next process in.
    pub(super) async fn close(&self) {
        let Some(listener) = self.listener.lock().await.take() else {
            return;
        };
        self.ends.cancel();
        listener.stop().await;
        let queue = self.queue.clone();
        let _ = tokio::task::spawn_blocking(move || queue.close()).await;
        self.venom
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(retention) = &self.retention {
            retention.close().await;
        }
        listener.release();
    }
}

fn refused(why: Refused) -> Failure {
    match why {
        Refused::Full => Failure::new(
            ErrorKind::Overloaded,
            "Venom is busy: too many calls wait already; nothing was changed, try again in a moment",
        ),
        Refused::Closed => Failure::not_ready("Venom is stopping: nothing was changed, try again"),
    }
}

/// Bad input is the caller's to read; what an operator has to act on goes to the log, too.
fn log_cause(error: &venom_core::Error) {
    if matches!(error.kind(), ErrorKind::NotReady | ErrorKind::Internal) {
        tracing::error!(error = error as &dyn std::error::Error, "a call failed");
    }
}

/// Opens store and model, side by side where it is known before what the vectors are stamped with.
fn open_parts(config: &Config, lease: Lease) -> Result<(Parts, Lease), Failure> {
    let folder = venom_embed::locate(&config.model, &config.model_folders)?;
    let options = config.index_options();
    let open_store = |stamp: &ModelStamp| SqliteStore::open_with(&lease, stamp, &options);
    let open_model = || {
        let began = Instant::now();
        let opened = MiniLm::open(&folder, &config.embedding)?;
        let took_ms = began.elapsed().as_secs_f64() * 1e3;
        tracing::debug!("the model was loaded in {took_ms:.1} ms");
        // The store of a large space takes longer to open.
        if SqliteStore::has_large_space(&config.data) {
            options.near.prepare(opened.vocabulary());
        }
        Ok::<_, Failure>(opened)
    };
    let (store, embedder) = if let Some(stamp) = folder.stamp() {
        std::thread::scope(|scope| {
            let embedder = scope.spawn(open_model);
            let store = open_store(&stamp);
            let embedder = embedder
                .join()
                .expect("opening a model returns errors, it does not panic");
            (store, embedder)
        })
    } else {
        let embedder = open_model()?;
        (open_store(embedder.model()), Ok(embedder))
    };
    let (store, embedder) = (store?, embedder?);
    let cleanness = cleanness::watch(&store);
    let ids = Arc::new(TimeIds::after(store.largest_id()));
    let store = Arc::new(store);
    let embedder: Arc<dyn Embedder> = Arc::new(embedder);
    let kept: Arc<dyn MemoryStore> = store.clone();
    let venom =
        Venom::new(embedder, kept, Arc::new(SystemClock), ids).with_rules(config.rules.clone());
    predecessor::take_over(config, &store, &venom)?;
    let venom = Arc::new(venom);
    let parts = Parts {
        venom,
        store,
        cleanness,
    };
    Ok((parts, lease))
}
