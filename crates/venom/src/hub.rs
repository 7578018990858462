//! One owner per data folder, every process served.
//!
//! The first process that opens a data folder owns its store and model (an [`engine::Engine`]). Later
//! ones attach to the owner over a local socket ([`link::Link`]). When the owner ends, one of them
//! takes over: a call that was under way is sent again with the same key, so it is neither lost nor
//! done twice. Doors (MCP, HTTP, CLI) see only [`Hub`], and never which of the two they have.

mod calls;
mod cleanness;
mod engine;
mod link;
mod predecessor;
mod queue;
mod retention;
mod socket;
mod spaces;
mod wire;

pub(crate) use calls::{Answer, BackupCall, Call, Past};
pub(crate) use engine::preflight;
pub(crate) use spaces::{SpaceAnswer, SpaceCall};

use crate::config::Config;
use crate::failure::Failure;
use engine::Engine;
use link::{Link, Lost};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use venom_core::{
    Backup, BackupNote, Changed, Erased, Erasures, History, Hit, Imported, ListPage, ListQuery,
    Memory, MemoryChange, MemoryId, NewConversation, NewImport, NewMemory, RecallQuery, Remembered,
    RememberedConversation, RequestKey, Source, SpaceName, Stats, Verdict, Within,
};
use venom_store::{DatabaseFacts, Holder, Lease, LeaseError};

/// How long a process tries to own a data folder or to reach its owner before it gives up.
const JOIN_TIME_MAX: Duration = Duration::from_secs(30);
/// The same where the owner says it listens but runs under another host name: most likely on another
/// machine, which no socket reaches.
const JOIN_ELSEWHERE_TIME_MAX: Duration = Duration::from_secs(5);
/// Pause between two tries, at first and at most. Only a process that waits for another pays it.
const JOIN_PAUSE_MIN: Duration = Duration::from_millis(2);
const JOIN_PAUSE_MAX: Duration = Duration::from_millis(100);
/// Longest pause of a process that waits to take a data folder over.
const TAKE_OVER_PAUSE_MAX: Duration = Duration::from_secs(30);
/// How many owners may end under one call before it counts as their undoing and is given up.
const OWNERS_LOST_MAX: u32 = 8;

/// What this process is to the data folder.
#[derive(Clone)]
enum Role {
    /// It owns the store and the model.
    Owner(Arc<Engine>),
    /// Another process does.
    Attached(Arc<Link>),
}

/// The use cases, whichever process carries them out. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    config: Arc<Config>,
    role: Arc<Mutex<Option<Role>>>,
    dimensions: Arc<OnceCell<usize>>,
    closed: CancellationToken,
}

impl Hub {
    /// Opens the data folder, or attaches to its owner.
    ///
    /// # Errors
    /// [`Failure`] if neither works: folder, model or database cannot be opened, or the owner does
    /// not answer.
    pub(crate) async fn open(config: Arc<Config>) -> Result<Self, Failure> {
        let hub = Self {
            config,
            role: Arc::default(),
            dimensions: Arc::default(),
            closed: CancellationToken::new(),
        };
        hub.role().await?;
        Ok(hub)
    }

    /// Takes over from an owner that ends even while no call is under way, so that the next call
    /// finds the model loaded. For processes that stay; a short command does not need it.
    pub(crate) fn keep_ready(&self) {
        let hub = self.clone();
        tokio::spawn(async move {
            let mut pause = JOIN_PAUSE_MAX;
            let mut told = String::new();
            loop {
                match hub.role().await {
                    Ok(Role::Attached(link)) => {
                        pause = JOIN_PAUSE_MAX;
                        link.lost().await;
                    }
                    Ok(Role::Owner(_)) => return,
                    Err(_) if hub.closed.is_cancelled() => return,
                    Err(failure) => {
                        let reason = failure.to_string();
                        if reason != told {
                            tracing::warn!("the data folder has no owner now: {reason}");
                            told = reason;
                        }
                        tokio::select! {
                            () = tokio::time::sleep(pause) => {}
                            () = hub.closed.cancelled() => return,
                        }
                        // What does not work now may never: a model or a database that is gone.
                        pause = (pause * 2).min(TAKE_OVER_PAUSE_MAX);
                    }
                }
            }
        });
    }

    /// Finishes what is under way and hands the data folder over. Idempotent.
    pub(crate) async fn close(&self) {
        self.closed.cancel();
        let role = self.role.lock().await.take();
        if let Some(Role::Owner(engine)) = role {
            engine.close().await;
        }
    }

    /// Stores a memory; durable on return.
    pub(crate) async fn remember(&self, new: NewMemory) -> Result<Remembered, Failure> {
        self.call(Call::Remember(new)).await?.remembered()
    }

    /// Stores a conversation, all of it or nothing; durable on return.
    pub(crate) async fn remember_conversation(
        &self,
        new: NewConversation,
    ) -> Result<RememberedConversation, Failure> {
        let answer = self.call(Call::RememberConversation(new)).await?;
        answer.conversation()
    }

    /// Changes a memory in one of these spaces.
    pub(crate) async fn update(
        &self,
        change: MemoryChange,
        within: Within,
    ) -> Result<Changed, Failure> {
        self.call(Call::Update(change, within)).await?.changed()
    }

    /// Finds the memories nearest in meaning, best first.
    pub(crate) async fn recall(&self, query: RecallQuery) -> Result<Vec<Hit>, Failure> {
        self.call(Call::Recall(query)).await?.hits()
    }

    /// A page of memories, newest first.
    pub(crate) async fn list(&self, query: ListQuery) -> Result<Vec<Memory>, Failure> {
        self.call(Call::List(query)).await?.memories()
    }

    /// One memory.
    pub(crate) async fn show(&self, id: MemoryId) -> Result<Memory, Failure> {
        self.call(Call::Show(id)).await?.memory()
    }

    /// Hides a memory in one of these spaces.
    pub(crate) async fn forget(&self, id: MemoryId, within: Within) -> Result<(), Failure> {
        self.call(Call::Forget(id, within)).await?.done()
    }

    /// Shows a forgotten memory in one of these spaces again.
    pub(crate) async fn restore(&self, id: MemoryId, within: Within) -> Result<Memory, Failure> {
        self.call(Call::Restore(id, within)).await?.memory()
    }

    /// What a memory was and is.
    pub(crate) async fn history(&self, id: MemoryId) -> Result<History, Failure> {
        self.call(Call::Past(Past::History(id))).await?.history()
    }

    /// Brings a version of a memory back.
    pub(crate) async fn restore_version(
        &self,
        id: MemoryId,
        version: u32,
        source: Source,
    ) -> Result<Memory, Failure> {
        let past = Past::RestoreVersion(id, version, source);
        self.call(Call::Past(past)).await?.memory()
    }

    /// Erases memories for good.
    pub(crate) async fn erase(&self, ids: Vec<MemoryId>) -> Result<Erasures, Failure> {
        self.call(Call::Past(Past::Erase(ids))).await?.erasures()
    }

    /// What is known of a memory that was erased.
    pub(crate) async fn erased(&self, id: MemoryId) -> Result<Option<Erased>, Failure> {
        self.call(Call::Past(Past::Erased(id))).await?.erased()
    }

    /// A page of what waits in quarantine, newest first.
    pub(crate) async fn quarantined(
        &self,
        before: Option<MemoryId>,
        limit: ListPage,
    ) -> Result<Vec<Memory>, Failure> {
        self.call(Call::Quarantined(before, limit))
            .await?
            .memories()
    }

    /// Decides about a memory in quarantine.
    pub(crate) async fn judge(&self, id: MemoryId, verdict: Verdict) -> Result<(), Failure> {
        self.call(Call::Judge(id, verdict)).await?.done()
    }

    /// What the store holds.
    pub(crate) async fn stats(&self, space: SpaceName) -> Result<Stats, Failure> {
        self.call(Call::Stats(space)).await?.stats()
    }

    /// Components of the model's vectors. The owner is asked once: to change the model, all who use the folder
    /// are stopped.
    pub(crate) async fn dimensions(&self) -> Result<usize, Failure> {
        let ask = || async {
            Ok(self
                .stats(self.config.space.clone())
                .await?
                .model
                .dimensions)
        };
        self.dimensions.get_or_try_init(ask).await.copied()
    }

    /// Whether store and model can serve now.
    pub(crate) async fn check(&self) -> Result<(), Failure> {
        self.call(Call::Check).await?.done()
    }

    /// Stores memories from elsewhere in one transaction; one answer for each.
    pub(crate) async fn import(&self, batch: Vec<NewImport>) -> Result<Vec<Imported>, Failure> {
        self.call(Call::Import(batch)).await?.imported()
    }

    /// What [`Self::import`] would answer.
    pub(crate) async fn look_at_import(
        &self,
        batch: Vec<NewImport>,
    ) -> Result<Vec<Imported>, Failure> {
        self.call(Call::LookAtImport(batch)).await?.imported()
    }

    /// Vectors for texts.
    pub(crate) async fn embed(&self, texts: Vec<String>) -> Result<Vec<Vec<f32>>, Failure> {
        self.call(Call::Embed(texts)).await?.vectors()
    }

    /// Writes a copy of the database to an absolute path where nothing is yet. The owner of the data folder writes it,
    /// and no other does it in its place: what an owner that ended has begun would be in the way.
    pub(crate) async fn snapshot(&self, path: String) -> Result<DatabaseFacts, Failure> {
        let (call, key) = (Call::Backup(BackupCall::Snapshot(path)), new_request_key()?);
        let answer = match self.role().await? {
            Role::Owner(engine) => engine.call(call, key).await,
            Role::Attached(link) => link.call(&call, key).await.unwrap_or_else(|Lost| {
                Err(Failure::not_ready(
                    "the owner of the data folder ended while it wrote the copy: try again",
                ))
            }),
        };
        answer?.snapshot()
    }

    /// Notes what became of backups.
    pub(crate) async fn note_backups(&self, note: BackupNote) -> Result<(), Failure> {
        let call = Call::Backup(BackupCall::Note(note));
        self.call(call).await?.done()
    }

    /// The backups that are known, oldest first.
    pub(crate) async fn backups(&self) -> Result<Vec<Backup>, Failure> {
        let call = Call::Backup(BackupCall::List);
        self.call(call).await?.backups()
    }

    /// Whether this process owns the data folder, for people.
    pub(crate) async fn describe(&self) -> String {
        match self.role.lock().await.as_ref() {
            Some(Role::Owner(_)) => "owns the data folder".to_owned(),
            Some(Role::Attached(link)) => format!("attached to process {}", link.owner_pid()),
            None => "closed".to_owned(),
        }
    }

    /// Carries out a call, wherever the store is. A call whose answer is lost with its owner is sent
    /// again, with the same key, to the next owner.
    async fn call(&self, call: Call) -> Result<Answer, Failure> {
        let key = new_request_key()?;
        for _ in 0..OWNERS_LOST_MAX {
            match self.role().await? {
                Role::Owner(engine) => return engine.call(call, key).await,
                Role::Attached(link) => {
                    if let Ok(reply) = link.call(&call, key).await {
                        return reply;
                    }
                    tracing::info!("the owner of the data folder ended; the call goes to the next");
                }
            }
        }
        Err(Failure::internal(format!(
            "the owner of the data folder ended {OWNERS_LOST_MAX} times during this call: see its log"
        )))
    }

    /// The role of this process, joining the folder anew where the former owner is gone.
    async fn role(&self) -> Result<Role, Failure> {
        let mut role = self.role.lock().await;
        if self.closed.is_cancelled() {
            return Err(Failure::not_ready(
                "Venom is stopping: nothing was changed, try again",
            ));
        }
        match role.as_ref() {
            Some(Role::Attached(link)) if link.is_lost() => {}
            Some(role) => return Ok(role.clone()),
            None => {}
        }
        let joined = join(&self.config).await?;
        *role = Some(joined.clone());
        Ok(joined)
    }
}

fn new_request_key() -> Result<RequestKey, Failure> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|e| Failure::internal(format!("the system gave no random numbers: {e}")))?;
    Ok(RequestKey(u128::from_le_bytes(bytes)))
}

/// What to say of an owner that does not answer, and how long to try.
fn unreachable_owner(holder: &Holder) -> (String, Duration) {
    match &holder.socket {
        Some(_) if !holder.is_on_this_host() => (
            format!(
                "{holder} owns it and cannot be reached from here: stop it first, or connect to its /mcp \
                 address"
            ),
            JOIN_ELSEWHERE_TIME_MAX,
        ),
        Some(_) => (
            format!("{holder} owns it and does not answer"),
            JOIN_TIME_MAX,
        ),
        None => (
            format!("{holder} owns it and lets no other process in"),
            JOIN_TIME_MAX,
        ),
    }
}

/// Owns the data folder or attaches to its owner, whichever works first.
async fn join(config: &Arc<Config>) -> Result<Role, Failure> {
    let start = Instant::now();
    let mut pause = JOIN_PAUSE_MIN;
    loop {
        let data = config.data.clone();
        let lease = tokio::task::spawn_blocking(move || Lease::try_acquire(&data)).await;
        let lease = lease.map_err(|e| Failure::internal(format!("opening failed: {e}")))?;
        let (why_not, time_max) = match lease {
            Ok(lease) => return Ok(Role::Owner(Engine::open(config.clone(), lease).await?)),
            Err(LeaseError::Busy(Some(holder))) => match Link::attach(&holder, config).await? {
                Some(link) => return Ok(Role::Attached(Arc::new(link))),
                None => unreachable_owner(&holder),
            },
            Err(LeaseError::Busy(None)) => (
                "another process owns it and has not said which".to_owned(),
                JOIN_TIME_MAX,
            ),
            Err(LeaseError::Store(error)) => return Err(error.into()),
        };
        if start.elapsed() >= time_max {
            let data = config.data.display();
            let seconds = time_max.as_secs();
            return Err(Failure::not_ready(format!(
                "the data folder {data} cannot be opened: {why_not} (waited {seconds} s)"
            )));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(JOIN_PAUSE_MAX);
    }
}
