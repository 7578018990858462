//! The two servers: start, announce, stop in order.

use crate::access_file::AccessFile;
use crate::asked::SystemClock;
use crate::backup;
use crate::caller::Caller;
use crate::config::Config;
use crate::failure::Failure;
use crate::http::{self, Guard, Site};
use crate::hub::{self, Hub};
use crate::mcp::{VenomServer, stdio as mcp_stdio};
use rustix::process::WaitOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use venom_access::{Access, NewToken, OWNER, Rights, Secret, SecretHash};
use venom_core::ports::Clock as _;

/// Where earlier versions kept the hash of the owner token, in hex.
const OLD_TOKEN_FILE: &str = "owner-token.sha256";
/// How long the store may take to close after the last request.
const CLOSE_TIME_MAX: Duration = Duration::from_millis(1_500);

/// Serves MCP over HTTP until a signal.
///
/// # Errors
/// [`Failure`] if the address is taken or the data folder cannot be opened or reached.
pub(crate) async fn http(config: Arc<Config>) -> Result<(), Failure> {
    let stop = on_signal()?;
    reap_orphans()?;
    let bound = http::bind(&config).await?;
    let Some(hub) = open(&config, &stop).await? else {
        return Ok(());
    };
    hub.keep_ready();
    let file = AccessFile::new(config.data.clone());
    credentials(&config, &file)?;
    announce(&config);
    let site = Site::new(&config, &hub, &file);
    let guard = Guard::new(&config, file.clone(), site.clone());
    let doors = http::Doors {
        hub: hub.clone(),
        file: file.clone(),
        backups: backup::start_schedule(&config, &hub, &file, &stop),
        config,
        guard,
        site,
    };
    http::serve(bound, doors, stop).await;
    close(&hub, file).await;
    Ok(())
}

/// Serves MCP over stdin and stdout until stdin ends or a signal.
///
/// # Errors
/// [`Failure`] if the data folder cannot be opened or reached.
pub(crate) async fn stdio(config: Arc<Config>) -> Result<(), Failure> {
    let stop = on_signal()?;
    reap_orphans()?;
    let Some(hub) = open(&config, &stop).await? else {
        return Ok(());
    };
    hub.keep_ready();
    tracing::info!(
        "serving MCP on stdin and stdout; memories in {}",
        config.data.display()
    );
    let file = AccessFile::new(config.data.clone());
    let server = VenomServer::new(hub.clone(), file.clone(), config, Caller::local("stdio"));
    let outcome = mcp_stdio::serve(server, stop).await;
    close(&hub, file).await;
    outcome
}

/// Opens the data folder; `None` if a signal came first. It may have to wait for another process.
async fn open(config: &Arc<Config>, stop: &CancellationToken) -> Result<Option<Hub>, Failure> {
    tokio::select! {
        hub = Hub::open(config.clone()) => hub.map(Some),
        () = stop.cancelled() => Ok(None),
    }
}

async fn close(hub: &Hub, file: AccessFile) {
    if tokio::time::timeout(CLOSE_TIME_MAX, hub.close())
        .await
        .is_err()
    {
        tracing::warn!("calls that nobody waits for any more were cut off");
    }
    let written = tokio::task::spawn_blocking(move || file.close());
    if tokio::time::timeout(CLOSE_TIME_MAX, written).await.is_err() {
        tracing::warn!("the last lines of the audit log were cut off");
    }
}

/// Checks what can be checked without opening anything for good: one failure for each thing wrong.
pub(crate) fn preflight(config: &Config) -> Vec<Failure> {
    let checks = [
        check_data_folder(&config.data),
        hub::preflight(config),
        check_persona_folder(config),
    ];
    checks.into_iter().filter_map(Result::err).collect()
}

fn check_data_folder(data: &Path) -> Result<(), Failure> {
    let shown = data.display();
    match std::fs::metadata(data) {
        Ok(found) if found.is_dir() => match std::fs::read_dir(data) {
            Ok(_) => Ok(()),
            Err(error) => Err(Failure::not_ready(format!(
                "the data folder {shown} cannot be read: {error}"
            ))),
        },
        Ok(_) => Err(Failure::not_ready(format!(
            "the data folder {shown} is a file: expected a folder"
        ))),
        // It is made when the store opens.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::not_ready(format!(
            "the data folder {shown} cannot be read: {error}"
        ))),
    }
}

fn check_persona_folder(config: &Config) -> Result<(), Failure> {
    match config.named_persona_folder() {
        Some(named) if !named.is_dir() => {
            let shown = named.display();
            Err(Failure::not_ready(format!(
                "the persona folder {shown} does not exist: expected a folder"
            )))
        }
        _ => Ok(()),
    }
}

/// What the owner needs to come in from elsewhere: a token for clients that send a header and, where
/// apps sign in, a passphrase. What is made now is shown, once.
fn credentials(config: &Config, file: &AccessFile) -> Result<(), Failure> {
    if !config.asks_for_token() {
        if config.open_to_everyone {
            tracing::warn!(
                "open to everyone: whoever reaches {} reads and writes every memory",
                config.host
            );
        }
        return Ok(());
    }
    let access = file.open()?;
    let token = owner_token(&access, &config.data)?;
    let passphrase = match config.public_url {
        Some(_) if !access.has_passphrase()? => Some(new_passphrase(&access, "first start")?),
        _ => None,
    };
    if token.is_none() && passphrase.is_none() {
        tracing::info!("callers must show a token");
        return Ok(());
    }
    let mut shown = String::from(
        "\nThis server can be reached from other machines, so callers must show who they are.\n",
    );
    if let Some(token) = token {
        shown.push_str(
            "\nThe owner token, for clients that send a header:\n\n    Authorization: Bearer ",
        );
        shown.push_str(token.reveal());
        shown.push('\n');
    }
    if let Some(passphrase) = passphrase {
        shown.push_str("\nThe owner's passphrase, for the page where apps sign in:\n\n    ");
        shown.push_str(passphrase.reveal());
        shown.push('\n');
    }
    shown.push_str("\nThis is shown only now; Venom keeps hashes. Lost it? Run: venom auth init\n");
    let _ = writeln!(std::io::stderr(), "{shown}");
    Ok(())
}

/// The owner token, if it is made now: at the first start of a server that asks for one. Afterwards it
/// is a token like others. One of an earlier version, kept as a hash in a file of its own, is taken over.
fn owner_token(access: &Access, data: &Path) -> Result<Option<Secret>, Failure> {
    let now = SystemClock.now();
    let new = NewToken {
        name: OWNER.to_owned(),
        rights: Rights::ALL,
        expires: None,
    };
    let old = data.join(OLD_TOKEN_FILE);
    match std::fs::read_to_string(&old) {
        Ok(hex) => {
            let shown = old.display();
            let hash = SecretHash::from_hex(hex.trim()).ok_or_else(|| {
                Failure::not_ready(format!(
                    "the owner token's hash in {shown} cannot be used: expected 64 hex digits; delete the \
                     file to get a new token"
                ))
            })?;
            if access.tokens()?.iter().all(|token| token.name != OWNER) {
                access.add_token(&new, hash, now, "earlier version")?;
            }
            std::fs::remove_file(&old).map_err(|error| {
                Failure::not_ready(format!("{shown} cannot be removed: {error}"))
            })?;
            Ok(None)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // Who revoked it did so on purpose: it is made with the file, and never again by itself.
            if access.was_owner_token_made()? {
                return Ok(None);
            }
            Ok(Some(access.create_token(&new, now, "first start")?))
        }
        Err(error) => Err(Failure::not_ready(format!(
            "{} cannot be read: {error}",
            old.display()
        ))),
    }
}

/// Sets a passphrase that is made up.
pub(crate) fn new_passphrase(access: &Access, source: &str) -> Result<Secret, Failure> {
    let passphrase = Secret::passphrase()?;
    access.set_passphrase(&passphrase, SystemClock.now(), source)?;
    Ok(passphrase)
}

/// The three lines that a newcomer needs.
fn announce(config: &Config) {
    let url = format!("{}/mcp", origin(config));
    let data = std::path::absolute(&config.data).unwrap_or_else(|_| config.data.clone());
    let header = if config.asks_for_token() {
        " --header \"Authorization: Bearer TOKEN\""
    } else {
        ""
    };
    let url = config
        .public_url
        .as_ref()
        .map_or(url, |public| format!("{}/mcp", public.origin()));
    let mut out = std::io::stdout().lock();
    // Nobody may be reading stdout; the server runs all the same.
    let _ = writeln!(
        out,
        "Venom listens on  {url}\nMemories lie in   {}\nConnect a client  claude mcp add --transport \
         http venom {url}{header}   (others: docs/clients.md)",
        data.display()
    );
    let _ = out.flush();
}

/// Scheme, name and port that clients use.
fn origin(config: &Config) -> String {
    if let Some(url) = &config.public_url {
        return url.origin().to_owned();
    }
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let name = if config.host.is_unspecified() {
        "localhost".to_owned()
    } else {
        host(config)
    };
    format!("{scheme}://{name}:{}", config.port)
}

fn host(config: &Config) -> String {
    if config.host.is_ipv6() {
        format!("[{}]", config.host)
    } else {
        config.host.to_string()
    }
}

/// As the first process of a container this one inherits processes whose parent has ended, such as
/// those of `docker exec`; they would stay as zombies if nobody took note of their end. Venom itself
/// starts no processes, so there is no other end to be told of.
fn reap_orphans() -> Result<(), Failure> {
    if std::process::id() != 1 {
        return Ok(());
    }
    let mut ended = signal(SignalKind::child()).map_err(no_signals)?;
    tokio::spawn(async move {
        while ended.recv().await.is_some() {
            // One signal may stand for several ends. Without any child left this is an error.
            while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
        }
    });
    Ok(())
}

/// Cancelled at the first SIGTERM or Ctrl-C. A second one ends the process at once.
fn on_signal() -> Result<CancellationToken, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        for signals in 0.. {
            let code = tokio::select! {
                _ = terminate.recv() => 143,
                _ = interrupt.recv() => 130,
            };
            if signals > 0 {
                std::process::exit(code);
            }
            tracing::info!("stopping: running requests are finished first");
            stopped.cancel();
        }
    });
    Ok(stop)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "stands where `map_err` hands the error over"
)]
fn no_signals(error: std::io::Error) -> Failure {
    Failure::not_ready(format!("signals cannot be received: {error}"))
}
