//! From texts to a valid configuration: every value parsed, every mistake reported at once.

use crate::addresses::{Network, PublicUrl};
use crate::age::Age;
use crate::backup::{self, BackupSettings};
use crate::settings::{Given, Values};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use venom_core::recall::Stemming;
use venom_core::{
    Duplicates, PersonaName, Precautions, Quarantine, Rules, SecretPolicy, Source, SpaceName,
};
use venom_embed::Options;
use venom_store::{IndexOptions, IndexSizes};

/// Threads for one text by default at most: a text of 256 tokens gains little from more.
const THREADS_DEFAULT_MAX: usize = 4;

/// Requests a minute of one caller by default: a hundred a second.
const RATE_DEFAULT: &str = "6000";
/// Most requests a minute that a limit may be set to.
const RATE_MAX: u32 = 1_000_000;

/// When the tools that connectors need are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectorTools {
    /// For clients that are known to need them.
    Auto,
    /// For every client.
    Always,
    /// For none.
    Never,
}

/// The files that TLS is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate and those that vouch for it, PEM.
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
}

/// A valid configuration. Nothing in it has been opened yet.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Data folder.
    pub(crate) data: PathBuf,
    /// Space of calls that name none.
    pub(crate) space: SpaceName,
    /// Whether a ChromaDB of the predecessor in the data folder is imported.
    pub(crate) import_predecessor: bool,
    /// What becomes of memories that are kept already.
    pub(crate) duplicates: Duplicates,
    /// What is done about new texts before they are kept.
    pub(crate) rules: Rules,
    /// How long what was forgotten is kept; `None` for ever.
    pub(crate) erase_after: Option<Age>,
    /// How words become terms of the full text.
    pub(crate) stemming: Stemming,
    /// When the tools that connectors need are listed.
    pub(crate) connector_tools: ConnectorTools,
    /// Address to listen on.
    pub(crate) host: IpAddr,
    /// Port to listen on.
    pub(crate) port: u16,
    /// Model name or folder.
    pub(crate) model: String,
    /// Where models lie, in order of search.
    pub(crate) model_folders: Vec<PathBuf>,
    /// How the model is run.
    pub(crate) embedding: Options,
    /// Persona of calls that name none.
    pub(crate) persona: PersonaName,
    /// Where personas lie, in order of search.
    pub(crate) persona_folders: Vec<PathBuf>,
    /// Icon for clients; the built-in one if `None`.
    pub(crate) icon_url: Option<String>,
    /// Host names taken besides loopback.
    pub(crate) allowed_hosts: Vec<String>,
    /// Origins taken besides loopback.
    pub(crate) allowed_origins: Vec<String>,
    /// Whether a public server asks nobody for a token.
    pub(crate) open_to_everyone: bool,
    /// Where callers reach this server from outside.
    pub(crate) public_url: Option<PublicUrl>,
    /// Proxies that tell who calls.
    pub(crate) trusted_proxies: Vec<Network>,
    /// What TLS is spoken with; plain HTTP if `None`.
    pub(crate) tls: Option<TlsFiles>,
    /// Requests a minute from one address; 0 is no limit.
    pub(crate) rate_address: u32,
    /// Requests a minute with one token; 0 is no limit.
    pub(crate) rate_token: u32,
    /// Inference workers.
    pub(crate) workers: usize,
    /// Calls that may wait.
    pub(crate) queue_calls_max: usize,
    /// Memories of a space that are compared exactly.
    pub(crate) exact_memories_max: usize,
    /// What was said about backups.
    pub(crate) backups: BackupSettings,
    /// Log level.
    pub(crate) log: tracing_subscriber::filter::LevelFilter,
}

impl Config {
    /// What is done about a text that comes from there.
    pub(crate) fn precautions(&self, source: &Source) -> Precautions {
        self.rules.precautions(source)
    }

    /// The persona folder that somebody named. It must be there; the usual places need not.
    pub(crate) fn named_persona_folder(&self) -> Option<&Path> {
        match self.persona_folders.as_slice() {
            [named, _, _] => Some(named),
            _ => None,
        }
    }

    /// Where personas are restored to: what is searched first.
    pub(crate) fn persona_folder(&self) -> PathBuf {
        let first = self.persona_folders.first();
        first
            .cloned()
            .unwrap_or_else(|| PathBuf::from("personalities"))
    }

    /// Whether the server can be reached from this machine only.
    pub(crate) fn is_loopback(&self) -> bool {
        self.host.is_loopback()
    }

    /// How the store is searched.
    pub(crate) fn index_options(&self) -> IndexOptions {
        IndexOptions {
            stemming: self.stemming,
            sizes: IndexSizes::exact_up_to(self.exact_memories_max),
            ..IndexOptions::default()
        }
    }

    /// Whether callers must show the owner token: as soon as they may come from another machine, be it
    /// directly or through a proxy that addresses us by another name.
    pub(crate) fn asks_for_token(&self) -> bool {
        let has_name = !self.allowed_hosts.is_empty() || self.public_url.is_some();
        let reachable = !self.is_loopback() || has_name;
        reachable && !self.open_to_everyone
    }
}

/// What the surroundings contribute; passed in so that parsing stays pure.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// The user's cache folder, if there is one.
    pub(crate) cache: Option<PathBuf>,
    /// The folder of the running program.
    pub(crate) program: Option<PathBuf>,
    /// Cores this process may use.
    pub(crate) cores: usize,
}

impl Surroundings {
    /// Reads them from this process.
    pub(crate) fn of_this_process() -> Self {
        let from = |name: &str| {
            std::env::var_os(name)
                .filter(|v| !v.is_empty())
                .map(PathBuf::from)
        };
        let cache = from("XDG_CACHE_HOME").or_else(|| from("HOME").map(|home| home.join(".cache")));
        let program = std::env::current_exe()
            .ok()
            .and_then(|p| p.parent().map(Path::to_owned));
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cache,
            program,
            cores,
        }
    }
}

/// Parses all values. Beside the configuration comes one sentence per value that cannot be taken; in
/// its place stands the default, so that everything else can still be checked.
pub(crate) fn parse(values: &Values, around: &Surroundings) -> (Config, Vec<String>) {
    let mut problems = Vec::new();
    let mut note = |problem: String| problems.push(problem);

    let mut model_folders: Vec<PathBuf> = values
        .get("model-dir")
        .map(|given| PathBuf::from(&given.text))
        .into_iter()
        .collect();
    model_folders.extend(around.cache.iter().map(|cache| cache.join("venom/models")));
    model_folders.push(PathBuf::from("models"));
    model_folders.extend(around.program.iter().map(|program| program.join("models")));

    let mut persona_folders: Vec<PathBuf> = values
        .get("persona-dir")
        .map(|given| PathBuf::from(&given.text))
        .into_iter()
        .collect();
    persona_folders.extend([PathBuf::from("personalities"), PathBuf::from(".")]);

    let config = Config {
        data: PathBuf::from(text_or(values, "data", "./data")),
        space: parsed(values, "space", "venom_memories", &mut note, |text| {
            SpaceName::parse(text).map_err(|e| e.to_string())
        }),
        import_predecessor: parsed(values, "import-predecessor", "yes", &mut note, parse_yes_no),
        duplicates: parsed(values, "duplicates", "merge", &mut note, |text| {
            let known = [("merge", Duplicates::Merge), ("keep", Duplicates::Keep)];
            one_of(text, &known, "expected merge or keep")
        }),
        rules: Rules {
            secrets: parsed(values, "secrets", "refuse", &mut note, |text| {
                let known = [
                    ("refuse", SecretPolicy::Refuse),
                    ("mask", SecretPolicy::Mask),
                    ("keep", SecretPolicy::Keep),
                ];
                one_of(text, &known, "expected refuse, mask or keep")
            }),
            quarantine: parsed(values, "quarantine-clients", "none", &mut note, |text| {
                let is_none = text.eq_ignore_ascii_case("none");
                Ok(Quarantine::parse(if is_none { "" } else { text }))
            }),
        },
        erase_after: parsed(values, "erase-after", "30d", &mut note, parse_erase_after),
        stemming: parsed(values, "language", "english", &mut note, Stemming::parse),
        connector_tools: parsed(values, "connector-tools", "auto", &mut note, |text| {
            let known = [
                ("auto", ConnectorTools::Auto),
                ("always", ConnectorTools::Always),
                ("never", ConnectorTools::Never),
            ];
            one_of(text, &known, "expected auto, always or never")
        }),
        host: parsed(values, "host", "127.0.0.1", &mut note, parse_host),
        port: parsed(values, "port", "8000", &mut note, |text| {
            let expected = "expected a number from 1 to 65535";
            text.parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(|| expected.to_owned())
        }),
        model: text_or(values, "model", "all-MiniLM-L6-v2"),
        model_folders,
        embedding: Options {
            precision: parsed(values, "precision", "int8", &mut note, str::parse),
            kernel: values
                .get("kernel")
                .and_then(|_| parsed(values, "kernel", "best", &mut note, kernel)),
            threads_per_text: match values.get("threads") {
                None => around.cores.clamp(1, THREADS_DEFAULT_MAX),
                Some(_) => parsed(values, "threads", "1", &mut note, |text| count(text, 16)),
            },
        },
        persona: parsed(values, "persona", "default", &mut note, |text| {
            PersonaName::parse(text).map_err(|e| e.to_string())
        }),
        persona_folders,
        icon_url: optional(values, "icon-url", &mut note, parse_icon_url),
        allowed_hosts: list(values, "allowed-hosts"),
        allowed_origins: list(values, "allowed-origins"),
        open_to_everyone: parsed(values, "open-to-everyone", "no", &mut note, parse_yes_no),
        public_url: optional(values, "public-url", &mut note, PublicUrl::parse),
        trusted_proxies: parsed(values, "trusted-proxies", "", &mut note, parse_networks),
        tls: tls_files(values, &mut note),
        rate_address: parsed(values, "rate-address", RATE_DEFAULT, &mut note, parse_rate),
        rate_token: parsed(values, "rate-token", RATE_DEFAULT, &mut note, parse_rate),
        workers: match values.get("workers") {
            None => around.cores,
            Some(_) => parsed(values, "workers", "1", &mut note, |text| count(text, 256)),
        },
        queue_calls_max: parsed(values, "queue", "1024", &mut note, |text| {
            count(text, 100_000)
        }),
        exact_memories_max: parsed(values, "exact-memories", "20000", &mut note, |text| {
            count(text, 1_000_000)
        }),
        backups: backup::parse_settings(values, &mut note),
        log: parsed(values, "log", "info", &mut note, |text| {
            let expected = "expected off, error, warn, info, debug or trace";
            text.parse().map_err(|_| expected.to_owned())
        }),
    };
    (config, problems)
}

fn parse_erase_after(text: &str) -> Result<Option<Age>, String> {
    if text.eq_ignore_ascii_case("never") {
        return Ok(None);
    }
    let expected = || "expected a time such as 30d, 12h or 4w, or never".to_owned();
    Age::parse(text).map(Some).ok_or_else(expected)
}

/// The sentence for a value that cannot be taken.
pub(crate) fn wrong(given: &Given, expected: &str) -> String {
    let shown: String = given.text.chars().take(60).collect();
    format!("{} is {shown:?}: {expected}", given.source)
}

fn text_or(values: &Values, flag: &'static str, default: &str) -> String {
    values
        .get(flag)
        .map_or_else(|| default.to_owned(), |given| given.text.clone())
}

/// Parses a value or its default. After a mistake the default stands in, so that parsing goes on and
/// finds every other mistake too.
fn parsed<T>(
    values: &Values,
    flag: &'static str,
    default: &str,
    note: &mut impl FnMut(String),
    parse: impl Fn(&str) -> Result<T, String>,
) -> T {
    if let Some(given) = values.get(flag) {
        match parse(given.text.trim()) {
            Ok(value) => return value,
            Err(expected) => note(wrong(given, &expected)),
        }
    }
    parse(default).expect("every default in the table can be parsed: tested")
}

/// Parses a value that has no default; `None` also after a mistake.
pub(crate) fn optional<T>(
    values: &Values,
    flag: &'static str,
    note: &mut impl FnMut(String),
    parse: impl Fn(&str) -> Result<T, String>,
) -> Option<T> {
    let given = values.get(flag)?;
    let parsed = parse(given.text.trim());
    parsed
        .map_err(|expected| note(wrong(given, &expected)))
        .ok()
}

/// Both files, or neither.
fn tls_files(values: &Values, note: &mut impl FnMut(String)) -> Option<TlsFiles> {
    let (given, other) = match (values.get("tls-cert"), values.get("tls-key")) {
        (Some(certificate), Some(key)) => {
            return Some(TlsFiles {
                certificate: PathBuf::from(&certificate.text),
                key: PathBuf::from(&key.text),
            });
        }
        (Some(given), None) => (given, "tls-key (VENOM_TLS_KEY)"),
        (None, Some(given)) => (given, "tls-cert (VENOM_TLS_CERT)"),
        (None, None) => return None,
    };
    note(wrong(given, &format!("expected --{other} with it")));
    None
}

fn parse_networks(text: &str) -> Result<Vec<Network>, String> {
    let items = text.split(',').map(str::trim);
    let items = items.filter(|item| !item.is_empty());
    items.map(Network::parse).collect()
}

fn parse_rate(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|rate| *rate <= RATE_MAX);
    number.ok_or_else(|| format!("expected a number from 0 to {RATE_MAX}, 0 for no limit"))
}

fn list(values: &Values, flag: &'static str) -> Vec<String> {
    let text = values.get(flag).map_or("", |given| given.text.as_str());
    text.split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty())
        .map(str::to_owned)
        .collect()
}

fn parse_host(text: &str) -> Result<IpAddr, String> {
    if text.eq_ignore_ascii_case("localhost") {
        return Ok(IpAddr::from([127, 0, 0, 1]));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    let expected = "expected an IP address such as 127.0.0.1, 0.0.0.0 or ::1, or localhost";
    bare.parse().map_err(|_| expected.to_owned())
}

fn parse_icon_url(text: &str) -> Result<String, String> {
    let known = ["http://", "https://", "data:"]
        .iter()
        .any(|scheme| text.starts_with(scheme));
    if known {
        Ok(text.to_owned())
    } else {
        Err("expected an http, https or data URL".to_owned())
    }
}

fn one_of<T: Copy>(text: &str, known: &[(&str, T)], expected: &str) -> Result<T, String> {
    let found = known
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(text));
    found
        .map(|(_, value)| *value)
        .ok_or_else(|| expected.to_owned())
}

fn parse_yes_no(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "1" | "on" => Ok(true),
        "no" | "false" | "0" | "off" => Ok(false),
        _ => Err("expected yes or no".to_owned()),
    }
}

/// A kernel that this processor can run; `None` for the best one.
fn kernel(text: &str) -> Result<Option<String>, String> {
    let known = venom_embed::kernels_here();
    if text == "best" || known.contains(&text) {
        return Ok(Some(text.to_owned()).filter(|text| text != "best"));
    }
    Err(format!("expected best, {}", known.join(", ")))
}

pub(crate) fn count(text: &str, max: usize) -> Result<usize, String> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=max).contains(number));
    number.ok_or_else(|| format!("expected a number from 1 to {max}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use venom_fuzz::Target;

    fn parse_with(flags: &[(&str, &str)]) -> Result<Config, Vec<String>> {
        let flag = |name: &str| {
            flags
                .iter()
                .find(|(flag, _)| *flag == name)
                .map(|(_, text)| (*text).to_owned())
        };
        let values = Values::collect(flag, |_| None, &HashMap::new());
        let around = Surroundings {
            cache: Some("/cache".into()),
            program: None,
            cores: 2,
        };
        let (config, problems) = parse(&values, &around);
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(problems)
        }
    }

    #[test]
    fn defaults_are_the_contract() {
        let config = parse_with(&[]).unwrap();
        assert_eq!(config.data, Path::new("./data"));
        assert_eq!(config.space.as_str(), "venom_memories");
        assert_eq!(
            (config.host.to_string().as_str(), config.port),
            ("127.0.0.1", 8000)
        );
        assert_eq!(
            config.persona_folders,
            [Path::new("personalities"), Path::new(".")]
        );
        assert_eq!(config.model_folders[0], Path::new("/cache/venom/models"));
        assert!(config.is_loopback() && !config.open_to_everyone);
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let wrong = [
            ("port", "70000"),
            ("host", "nowhere.example"),
            ("persona", "../etc"),
            ("icon-url", "ftp://x"),
            ("open-to-everyone", "maybe"),
            ("workers", "0"),
            ("threads", "17"),
            ("precision", "f16"),
            ("kernel", "mmx"),
            ("queue", "many"),
            ("exact-memories", "0"),
            ("log", "loud"),
            ("duplicates", "maybe"),
            ("secrets", "hide"),
            ("erase-after", "soon"),
            ("language", "klingon"),
            ("connector-tools", "sometimes"),
            ("space", " "),
            ("public-url", "http://venom.example"),
            ("trusted-proxies", "10.0.0.0/33"),
            ("tls-cert", "cert.pem"),
            ("rate-address", "-1"),
            ("rate-token", "1000001"),
        ];
        let problems = parse_with(&wrong).unwrap_err();
        assert_eq!(problems.len(), wrong.len(), "{problems:#?}");
        assert!(
            problems.contains(&"--port is \"70000\": expected a number from 1 to 65535".to_owned())
        );
    }

    #[test]
    fn ports_zero_and_text_are_refused() {
        for bad in ["0", "-1", "65536", "http", ""] {
            assert!(parse_with(&[("port", bad)]).is_err(), "{bad:?}");
        }
        assert_eq!(parse_with(&[("port", "65535")]).unwrap().port, 65535);
    }

    #[test]
    fn rules_are_strict_about_secrets_and_trust_every_client() {
        assert_eq!(parse_with(&[]).unwrap().rules, Rules::default());
        let given = [("secrets", "Mask"), ("quarantine-clients", "browser, *")];
        let rules = parse_with(&given).unwrap().rules;
        assert_eq!(rules.secrets, SecretPolicy::Mask);
        assert_eq!(rules.quarantine, Quarantine::parse("browser,*"));
        let none = parse_with(&[("quarantine-clients", "none")]).unwrap();
        assert_eq!(none.rules, Rules::default());
    }

    #[test]
    fn lists_are_split_at_commas() {
        let config = parse_with(&[("allowed-hosts", "a.example, b.example,,")]).unwrap();
        assert_eq!(config.allowed_hosts, ["a.example", "b.example"]);
        assert!(config.asks_for_token(), "a proxy may stand in front");
    }

    #[test]
    fn a_public_url_asks_for_the_token() {
        let config = parse_with(&[("public-url", "https://Venom.example/")]).unwrap();
        assert_eq!(config.public_url.as_ref().unwrap().host(), "venom.example");
        assert!(config.asks_for_token());
    }

    #[test]
    fn certificate_and_key_come_together() {
        let both = parse_with(&[("tls-cert", "c.pem"), ("tls-key", "k.pem")]).unwrap();
        assert_eq!(both.tls.unwrap().key, Path::new("k.pem"));
        let problems = parse_with(&[("tls-key", "k.pem")]).unwrap_err();
        assert_eq!(
            problems,
            ["--tls-key is \"k.pem\": expected --tls-cert (VENOM_TLS_CERT) with it"]
        );
    }

    /// A value for each setting, by lines.
    #[test]
    fn fuzz_settings() {
        let words = [
            "8000",
            "0",
            "-1",
            "127.0.0.1",
            "[::1]",
            "localhost",
            "int8",
            "f32",
            "best",
            "scalar",
            "yes",
            "merge",
            "mask",
            "english",
            "german",
            "https://venom.example",
            "10.0.0.0/8",
            ",",
            "\n",
            "*",
            "none",
            "always",
            "debug",
            "65536",
            "../x",
        ];
        let around = Surroundings {
            cache: Some("/cache".into()),
            program: None,
            cores: 2,
        };
        Target::new("settings").words(&words).run(|bytes| {
            let text = String::from_utf8_lossy(bytes);
            let flag = |name: &str| {
                let settings = crate::settings::SETTINGS;
                let number = settings.iter().position(|setting| setting.flag == name)?;
                let line = text.split('\n').nth(number).filter(|line| !line.is_empty());
                line.map(str::to_owned)
            };
            let values = Values::collect(flag, |_| None, &HashMap::new());
            let (config, problems) = parse(&values, &around);
            let told =
                |problem: &String| problem.starts_with("--") && problem.contains(": expected ");
            assert!(problems.iter().all(told), "{problems:?}");
            assert!(config.port > 0 && config.workers > 0 && config.queue_calls_max > 0);
            assert!(config.rate_address <= RATE_MAX && config.rate_token <= RATE_MAX);
            let flags = problems
                .iter()
                .filter_map(|problem| problem.split(' ').next());
            flags.map(str::to_owned).collect::<Vec<_>>()
        });
    }
}
