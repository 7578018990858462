//! Every setting of Venom in one table: `--help`, `docs/configuration.md` and the tests are made
//! from it, so none of them can miss one. Reading a setting opens no file and no socket.

use std::collections::HashMap;

/// One setting: how it is named on each door, what it means, what it is when nobody sets it.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Stable key, also the long flag.
    pub(crate) flag: &'static str,
    /// Environment variables, the first set one wins.
    pub(crate) variables: &'static [&'static str],
    /// Placeholder in help texts.
    pub(crate) value: &'static str,
    /// Value when nobody sets it, as people would write it.
    pub(crate) default: &'static str,
    /// One or two sentences for people.
    pub(crate) help: &'static str,
}

/// The table.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        flag: "data",
        variables: &["VENOM_DATA", "CHROMADB_PATH"],
        value: "FOLDER",
        default: "./data",
        help: "Folder that holds the memories. Made when it does not exist",
    },
    Setting {
        flag: "space",
        variables: &["COLLECTION_NAME"],
        value: "NAME",
        default: "venom_memories",
        help: "Space that calls use which name none. Searches see one space only",
    },
    Setting {
        flag: "import-predecessor",
        variables: &["VENOM_IMPORT_PREDECESSOR"],
        value: "YES",
        default: "yes",
        help: "With yes, a ChromaDB of the predecessor in the data folder is read at the start, and every memory of its \
               collection is there at the first search. Its files stay as they are",
    },
    Setting {
        flag: "duplicates",
        variables: &["VENOM_DUPLICATES"],
        value: "WHAT",
        default: "merge",
        help: "What becomes of a memory that says again what is already kept: merge gives the old one the new \
               time and the tags of both, keep keeps both",
    },
    Setting {
        flag: "secrets",
        variables: &["VENOM_SECRETS"],
        value: "WHAT",
        default: "refuse",
        help: "What becomes of a text that holds a password, key, token or card number: refuse says which kind it is \
               and where, mask keeps a mark in its place, keep keeps it",
    },
    Setting {
        flag: "quarantine-clients",
        variables: &["VENOM_QUARANTINE"],
        value: "CLIENTS",
        default: "none",
        help: "Clients whose memories are kept but not recalled until you release them (venom quarantine): parts of \
               their names, separated by commas, or * for all but the command line",
    },
    Setting {
        flag: "erase-after",
        variables: &["VENOM_ERASE_AFTER"],
        value: "TIME",
        default: "30d",
        help: "How long a forgotten memory can be restored, such as 30d, 12h or 4w; then it is erased for good. With 0d \
               that is within the hour, with never it stays until venom erase",
    },
    Setting {
        flag: "language",
        variables: &["VENOM_LANGUAGE"],
        value: "LANGUAGE",
        default: "english",
        help: "Language of your memories besides English, such as german, french or russian: its inflections \
               are found, too. none for words as they stand",
    },
    Setting {
        flag: "host",
        variables: &["HOST"],
        value: "ADDRESS",
        default: "127.0.0.1",
        help: "Address to listen on. Beyond this machine (0.0.0.0), every call needs a token",
    },
    Setting {
        flag: "port",
        variables: &["PORT"],
        value: "PORT",
        default: "8000",
        help: "TCP port to listen on, 1 to 65535",
    },
    Setting {
        flag: "model",
        variables: &["EMBEDDING_MODEL"],
        value: "MODEL",
        default: "all-MiniLM-L6-v2",
        help: "Embedding model: a known name, or the path of a folder with a BERT encoder and its description",
    },
    Setting {
        flag: "model-dir",
        variables: &["VENOM_MODEL_DIR"],
        value: "FOLDER",
        default: "~/.cache/venom/models",
        help: "Folder of downloaded models, searched first; then ./models and the folder of the program",
    },
    Setting {
        flag: "precision",
        variables: &["VENOM_PRECISION"],
        value: "NUMBERS",
        default: "int8",
        help: "Numbers that the model is run with: int8 is several times faster, f32 gives the vectors of the \
               original library. Both search the same memories",
    },
    Setting {
        flag: "kernel",
        variables: &["VENOM_KERNEL"],
        value: "NAME",
        default: "the best",
        help: "Instructions that the model is run with, such as avx2 or scalar: for tests. venom stats names \
               the ones in use",
    },
    Setting {
        flag: "persona",
        variables: &["VENOM_PERSONALITY"],
        value: "NAME",
        default: "default",
        help: "Persona that is served where none is named: default, variant2, or any NAME with a file \
               venom_personality_NAME.md",
    },
    Setting {
        flag: "persona-dir",
        variables: &["PERSONALITY_DIR"],
        value: "FOLDER",
        default: "./personalities",
        help: "Folder of persona files, searched first; then ./personalities, the working folder and \
               the two built-in personas",
    },
    Setting {
        flag: "icon-url",
        variables: &["ICON_URL"],
        value: "URL",
        default: "built-in",
        help: "Icon announced to MCP clients: an http, https or data URL",
    },
    Setting {
        flag: "connector-tools",
        variables: &["VENOM_CONNECTOR_TOOLS"],
        value: "WHEN",
        default: "auto",
        help: "When the tools search and fetch are listed, which the connectors of ChatGPT need: auto for its \
               clients, always or never",
    },
    Setting {
        flag: "public-url",
        variables: &["VENOM_PUBLIC_URL"],
        value: "URL",
        default: "none",
        help: "Where clients reach this server from outside, such as https://venom.example: its name is taken as Host, \
               its pages may call, apps sign in by OAuth, and every call needs a token",
    },
    Setting {
        flag: "allowed-hosts",
        variables: &["VENOM_ALLOWED_HOSTS"],
        value: "HOSTS",
        default: "loopback names",
        help: "Host names, separated by commas, that requests may be addressed to besides loopback, such as \
               the name of a reverse proxy. With any, every call needs a token",
    },
    Setting {
        flag: "allowed-origins",
        variables: &["VENOM_ALLOWED_ORIGINS"],
        value: "ORIGINS",
        default: "loopback origins",
        help: "Web origins (https://app.example), separated by commas, whose pages may call Venom \
               besides loopback",
    },
    Setting {
        flag: "open-to-everyone",
        variables: &["VENOM_OPEN_TO_EVERYONE"],
        value: "YES",
        default: "no",
        help: "With yes, a server that others can reach asks nobody for a token: anyone who reaches it \
               reads and writes every memory",
    },
    Setting {
        flag: "trusted-proxies",
        variables: &["VENOM_TRUSTED_PROXIES"],
        value: "ADDRESSES",
        default: "none",
        help: "IP addresses and ranges (10.0.0.0/8), separated by commas, of proxies whose X-Forwarded-For and \
               X-Forwarded-Proto tell who calls. From others these headers are ignored",
    },
    Setting {
        flag: "tls-cert",
        variables: &["VENOM_TLS_CERT"],
        value: "FILE",
        default: "none",
        help: "Certificate in PEM, with those that vouch for it, to speak HTTPS with. Read again when it changes",
    },
    Setting {
        flag: "tls-key",
        variables: &["VENOM_TLS_KEY"],
        value: "FILE",
        default: "none",
        help: "Private key of the certificate, in PEM",
    },
    Setting {
        flag: "rate-address",
        variables: &["VENOM_RATE_ADDRESS"],
        value: "COUNT",
        default: "6000",
        help: "Requests a minute from one address, up to 1000000; 0 for no limit. Callers on this machine are not \
               counted",
    },
    Setting {
        flag: "rate-token",
        variables: &["VENOM_RATE_TOKEN"],
        value: "COUNT",
        default: "6000",
        help: "Requests a minute with one token, up to 1000000; 0 for no limit",
    },
    Setting {
        flag: "workers",
        variables: &["VENOM_WORKERS"],
        value: "COUNT",
        default: "number of cores",
        help: "Texts embedded at the same time, 1 to 256",
    },
    Setting {
        flag: "threads",
        variables: &["VENOM_THREADS"],
        value: "COUNT",
        default: "number of cores, at most 4",
        help: "Threads that embed a text while it is the only one, 1 to 16. Texts at the same time share them",
    },
    Setting {
        flag: "queue",
        variables: &["VENOM_QUEUE"],
        value: "COUNT",
        default: "1024",
        help: "Stores that may wait for a worker, and as many searches, 1 to 100000. Beyond it a caller is told to try \
               again",
    },
    Setting {
        flag: "exact-memories",
        variables: &["VENOM_EXACT_MEMORIES"],
        value: "COUNT",
        default: "20000",
        help: "Memories of a space that are kept in memory and compared exactly, 1 to 1000000. Of a larger space the \
               older ones are searched in an index on disk",
    },
    Setting {
        flag: "backup-every",
        variables: &["VENOM_BACKUP_EVERY"],
        value: "TIME",
        default: "never",
        help: "How often a server that serves HTTP makes a backup, such as 6h or 1d. Needs backup-dir",
    },
    Setting {
        flag: "backup-dir",
        variables: &["VENOM_BACKUP_DIR"],
        value: "FOLDER",
        default: "none",
        help: "Folder that backups are made in. Best on another disk than the memories, and for one data folder alone",
    },
    Setting {
        flag: "backup-keep",
        variables: &["VENOM_BACKUP_KEEP"],
        value: "COUNT",
        default: "all",
        help: "Backups that stay, the newest so many, 1 to 100000. The others are removed after the next one is made",
    },
    Setting {
        flag: "backup-keep-days",
        variables: &["VENOM_BACKUP_KEEP_DAYS"],
        value: "DAYS",
        default: "for ever",
        help: "Days that backups stay, 1 to 100000. Older ones are removed after the next one is made",
    },
    Setting {
        flag: "backup-passphrase-file",
        variables: &["VENOM_BACKUP_PASSPHRASE_FILE"],
        value: "FILE",
        default: "none",
        help: "File with a passphrase of at least 12 characters that backups are encrypted with, and opened",
    },
    Setting {
        flag: "log",
        variables: &["VENOM_LOG"],
        value: "LEVEL",
        default: "info",
        help: "What goes to stderr: off, error, warn, info, debug or trace",
    },
];

/// Where a value came from, for error messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    /// The text.
    pub(crate) text: String,
    /// Such as `--port`, `PORT` or `PORT in .env`.
    pub(crate) source: String,
}

/// Values as people gave them: flags win over the environment, the environment over `.env`.
#[derive(Debug, Default)]
pub(crate) struct Values {
    given: HashMap<&'static str, Given>,
}

impl Values {
    /// Collects values. An empty environment variable counts as not set; an empty flag does not.
    pub(crate) fn collect(
        flag: impl Fn(&str) -> Option<String>,
        environment: impl Fn(&str) -> Option<String>,
        dotenv: &HashMap<String, String>,
    ) -> Self {
        let mut given = HashMap::new();
        for setting in SETTINGS {
            let from_flag = flag(setting.flag).map(|text| Given {
                text,
                source: format!("--{}", setting.flag),
            });
            let from_environment = setting.variables.iter().find_map(|name| {
                let text = environment(name).filter(|text| !text.trim().is_empty())?;
                Some(Given {
                    text,
                    source: (*name).to_owned(),
                })
            });
            let from_dotenv = setting.variables.iter().find_map(|name| {
                let text = dotenv
                    .get(*name)
                    .filter(|text| !text.trim().is_empty())?
                    .clone();
                Some(Given {
                    text,
                    source: format!("{name} in .env"),
                })
            });
            if let Some(value) = from_flag.or(from_environment).or(from_dotenv) {
                given.insert(setting.flag, value);
            }
        }
        Self { given }
    }

    /// The value given for a setting, if any.
    pub(crate) fn get(&self, flag: &'static str) -> Option<&Given> {
        debug_assert!(SETTINGS.iter().any(|s| s.flag == flag), "no setting {flag}");
        self.given.get(flag)
    }
}

/// `docs/configuration.md`, whole.
#[cfg(test)]
pub(crate) fn documentation() -> String {
    use std::fmt::Write as _;
    let mut page = String::from(
        "# Configuration\n\n\
         Every setting has a flag and an environment variable. A flag wins over the environment, the\n\
         environment over a `.env` file in the working folder, that over the default. Wrong values stop\n\
         the start, each with one sentence. This page is made from the table in\n\
         `crates/venom/src/settings.rs`; a test keeps the two equal.\n\n\
         | flag | environment | default | meaning |\n|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let variables: Vec<String> = setting
            .variables
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let _ = writeln!(
            page,
            "| `--{} {}` | {} | {} | {}. |",
            setting.flag,
            setting.value,
            variables.join(", "),
            setting.default,
            setting.help
        );
    }
    page.push_str(
        "\nWhere two variables are named, the first one wins; the second is the predecessor's name.\n\
         `serve`, `stdio` and every command take the same flags: `venom --data /srv/venom search \"tea\"`.\n",
    );
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_page_matches_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let expected = documentation();
        if std::env::var_os("VENOM_UPDATE_DOCS").is_some() {
            std::fs::write(path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/configuration.md differs from the settings table: run \
             `VENOM_UPDATE_DOCS=1 cargo test -p venom settings`"
        );
    }

    #[test]
    fn flags_win_over_environment_over_dotenv() {
        let dotenv = HashMap::from([
            ("PORT".to_owned(), "3".to_owned()),
            ("HOST".to_owned(), "::1".to_owned()),
        ]);
        let env = |name: &str| match name {
            "PORT" => Some("2".to_owned()),
            "CHROMADB_PATH" => Some("/old".to_owned()),
            "VENOM_DATA" => Some("/new".to_owned()),
            _ => None,
        };
        let flags = |flag: &str| (flag == "port").then(|| "1".to_owned());
        let values = Values::collect(flags, env, &dotenv);
        assert_eq!(values.get("port").unwrap().text, "1");
        assert_eq!(values.get("port").unwrap().source, "--port");
        assert_eq!(values.get("data").unwrap().text, "/new");
        assert_eq!(values.get("host").unwrap().source, "HOST in .env");
        assert_eq!(
            Values::collect(|_| None, env, &dotenv)
                .get("port")
                .unwrap()
                .text,
            "2"
        );
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let values = Values::collect(|_| None, |_| Some(String::new()), &HashMap::new());
        assert!(values.get("port").is_none());
    }
}
