//! TLS: the certificate and its key, read again when the files change.

use crate::config::TlsFiles;
use crate::failure::Failure;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often the files are looked at, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The certificate of a server.
pub(crate) struct Certificates {
    files: TlsFiles,
    current: Mutex<Current>,
}

struct Current {
    config: Arc<ServerConfig>,
    /// What the files looked like when they were read last, with or without success.
    seen: [Stamp; 2],
    looked: Instant,
}

/// What tells one version of a file from another; `None` where there is no file.
type Stamp = Option<(SystemTime, u64, u64)>;

impl Certificates {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// [`Failure`] that names the file.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, Failure> {
        let seen = stamps(&files);
        let current = Mutex::new(Current {
            config: Arc::new(read(&files)?),
            seen,
            looked: Instant::now(),
        });
        Ok(Self { files, current })
    }

    /// What a connection that arrives at `now` is to be greeted with. If the files have changed, they are
    /// read again; a pair that cannot be used is reported once, and the one before stays.
    pub(super) fn current(&self, now: Instant) -> Arc<ServerConfig> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(current.looked) < LOOK_INTERVAL {
            return current.config.clone();
        }
        current.looked = now;
        let seen = stamps(&self.files);
        if seen != current.seen {
            current.seen = seen;
            match read(&self.files) {
                Ok(config) => {
                    current.config = Arc::new(config);
                    tracing::info!("the certificate has changed and was read again");
                }
                Err(failure) => {
                    tracing::warn!("the certificate from before stays in use: {failure}");
                }
            }
        }
        current.config.clone()
    }
}

fn stamps(files: &TlsFiles) -> [Stamp; 2] {
    [&files.certificate, &files.key].map(|path| {
        let file = std::fs::metadata(path).ok()?;
        Some((file.modified().ok()?, file.len(), file.ino()))
    })
}

/// The certificates in a file, the server's own first.
///
/// # Errors
/// [`Failure`] that names the file.
pub(crate) fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let unusable = |why: String| unusable("certificate", path, &why);
    let bytes = read_file(path).map_err(|error| unusable(error.to_string()))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(unusable("it holds none in PEM".to_owned())),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unusable(error.to_string())),
    }
}

fn read(files: &TlsFiles) -> Result<ServerConfig, Failure> {
    let chain = read_chain(&files.certificate)?;
    let unusable_key = |why: String| unusable("key", &files.key, &why);
    let bytes = read_file(&files.key).map_err(|error| unusable_key(error.to_string()))?;
    let key = PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| unusable_key("it holds no private key in PEM".to_owned()))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::internal(format!("TLS cannot be spoken: {error}")))?;
    let mut config = builder
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable("certificate", &files.certificate, &error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unusable(what: &str, path: &Path, why: &str) -> Failure {
    let path = path.display();
    Failure::not_ready(format!("the {what} in {path} cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    fn write_pair(files: &TlsFiles) -> CertificateDer<'static> {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(&files.certificate, cert.pem()).unwrap();
        std::fs::write(&files.key, signing_key.serialize_pem()).unwrap();
        cert.der().clone()
    }

    fn files(name: &str) -> (TlsFiles, std::path::PathBuf) {
        let folder = std::env::temp_dir().join(format!("venom-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let files = TlsFiles {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        };
        (files, folder)
    }

    #[test]
    fn changed_files_are_read_again_and_broken_ones_are_not_taken() {
        let (files, folder) = files("reload");
        write_pair(&files);
        let certificates = Certificates::load(files.clone()).unwrap();
        let start = Instant::now();
        let first = certificates.current(start);
        assert!(Arc::ptr_eq(
            &first,
            &certificates.current(start + LOOK_INTERVAL)
        ));

        write_pair(&files);
        let soon = start + LOOK_INTERVAL + Duration::from_secs(1);
        assert!(
            Arc::ptr_eq(&first, &certificates.current(soon)),
            "not looked at yet"
        );
        let second = certificates.current(start + 2 * LOOK_INTERVAL);
        assert!(!Arc::ptr_eq(&first, &second));

        // The key of another certificate, as while two files are replaced one after the other.
        let key = std::fs::read(&files.key).unwrap();
        write_pair(&files);
        std::fs::write(&files.key, key).unwrap();
        let third = certificates.current(start + 3 * LOOK_INTERVAL);
        assert!(Arc::ptr_eq(&second, &third));
        std::fs::remove_file(&files.key).unwrap();
        let fourth = certificates.current(start + 4 * LOOK_INTERVAL);
        assert!(Arc::ptr_eq(&second, &fourth));
        write_pair(&files);
        let fifth = certificates.current(start + 5 * LOOK_INTERVAL);
        assert!(!Arc::ptr_eq(&second, &fifth));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let (files, folder) = files("broken");
        let check = |words: &str| {
            let failure = Certificates::load(files.clone()).err().unwrap();
            assert!(failure.message.contains(words), "{failure}");
        };
        check("cert.pem cannot be used: No such file");
        std::fs::write(&files.certificate, "nonsense").unwrap();
        check("cert.pem cannot be used: it holds none in PEM");
        write_pair(&files);
        std::fs::write(&files.key, "nonsense").unwrap();
        check("key.pem cannot be used: it holds no private key in PEM");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
