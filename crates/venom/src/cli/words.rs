//! The words of the command line. Flags of settings come from the settings table.

mod backup;
mod spaces;

use crate::settings::SETTINGS;
use clap::{Arg, ArgAction, Command, value_parser};

/// The whole command line.
pub(super) fn command() -> Command {
    let mut command = Command::new("venom")
        .version(env!("CARGO_PKG_VERSION"))
        .about("One private, lasting memory and one personality for every AI assistant")
        .after_help(
            "Without a command, venom serves MCP over HTTP. A setting is read from its flag, then from \
             the environment, then from a .env file in the working folder.",
        )
        .arg(
            Arg::new("stdio")
                .long("stdio")
                .action(ArgAction::SetTrue)
                .help("The same as the command stdio"),
        )
        .subcommands(vec![
            Command::new("serve").about("Serve MCP over HTTP, until SIGTERM or Ctrl-C (the default)"),
            Command::new("stdio").about("Serve MCP over stdin and stdout, for a client that starts it"),
            store(),
            store_conversation(),
            search(),
            list(),
            Command::new("show").about("Show one memory").arg(memory_id()).arg(json()),
            update(),
            Command::new("forget").about("Hide a memory from every search").arg(memory_id()),
            history(),
            restore_memory(),
            erase(),
            quarantine(),
            import(),
            export(),
            spaces::space(),
            Command::new("stats").about("Show what the data folder holds").arg(json()),
            persona(),
            Command::new("embed")
                .about("Embed texts: one text a line on stdin, one JSON vector a line on stdout"),
            Command::new("reembed").about("Embed all memories again, after a change of the model"),
            Command::new("model")
                .about("Prepare the embedding model")
                .subcommand_required(true)
                .subcommand(
                    Command::new("pack")
                        .about("Write the model in one file, quantised, that opens in milliseconds")
                        .arg(
                            Arg::new("out")
                                .long("out")
                                .value_name("FILE")
                                .value_parser(value_parser!(std::path::PathBuf))
                                .help("Where to (default: model.packed in the model's folder)"),
                        ),
                ),
            auth(),
            token(),
            grant(),
            audit(),
            Command::new("doctor")
                .about("Look at everything in the data folder and say what is wrong with it")
                .after_help(
                    "With --public-url URL it goes through the handshake of a remote app with the server there \
                     instead, and says which step fails and why.",
                )
                .arg(
                    Arg::new("repair")
                        .long("repair")
                        .action(ArgAction::SetTrue)
                        .help("Make anew what follows from the memories: counts, full text, vectors"),
                )
                .arg(json()),
            Command::new("healthcheck")
                .about("Ask the server on this machine whether it is healthy, for container engines"),
            Command::new("completions").about("Print the completion script for a shell").arg(
                Arg::new("shell")
                    .required(true)
                    .value_parser(value_parser!(clap_complete::Shell))
                    .help("Your shell"),
            ),
        ])
        .subcommands(backup::commands());
    for setting in SETTINGS {
        let variables = setting.variables.join(", ");
        command = command.arg(
            Arg::new(setting.flag)
                .long(setting.flag)
                .value_name(setting.value)
                .global(true)
                .help_heading("Settings")
                .hide_short_help(!matches!(setting.flag, "data" | "space" | "host" | "port"))
                .help(format!(
                    "{} [{variables}; default: {}]",
                    setting.help, setting.default
                )),
        );
    }
    command
}

fn store() -> Command {
    Command::new("store")
        .about("Store a memory")
        .arg(Arg::new("text").help("The text; - or nothing reads it from stdin"))
        .arg(tags("tag", "Tag it; may be given up to 10 times").short('t'))
        .args(origin())
        .arg(json())
}

fn store_conversation() -> Command {
    Command::new("store-conversation")
        .about("Store a conversation, one memory per turn, all or none")
        .arg(Arg::new("file").value_name("FILE").help(
            "JSON: a list of turns {speaker, content, occurred_at, tags}, an object with session and turns, \
             or one turn a line; - or nothing reads it from stdin",
        ))
        .arg(
            Arg::new("session")
                .long("session")
                .value_name("NAME")
                .help("Name of the conversation; it gets one if none is given"),
        )
        .arg(json())
}

fn update() -> Command {
    Command::new("update")
        .about("Change a memory; what is not given stays")
        .arg(memory_id())
        .arg(Arg::new("text").help("The new text; - reads it from stdin"))
        .arg(tags("tag", "The new tags, all of them; '' for none").short('t'))
        .args(origin())
        .arg(json())
}

fn search() -> Command {
    Command::new("search")
        .about("Find memories, best first")
        .arg(Arg::new("text").help("What to find; - or nothing reads it from stdin"))
        .arg(limit("5", "Most results, 1 to 20"))
        .args(filters())
        .arg(
            Arg::new("min-relevance")
                .long("min-relevance")
                .value_name("SCORE")
                .help("Only results of at least this relevance, 0 to 100"),
        )
        .arg(
            Arg::new("explain")
                .long("explain")
                .action(ArgAction::SetTrue)
                .help("Show the parts of each score, the words that matched and the passage"),
        )
        .arg(json())
}

fn list() -> Command {
    Command::new("list")
        .about("List memories, newest first")
        .arg(limit("20", "Most memories, 1 to 1000"))
        .arg(before())
        .args(filters())
        .arg(json())
}

fn history() -> Command {
    Command::new("history")
        .about("Show what a memory was before each change, oldest first")
        .arg(memory_id())
        .arg(json())
}

fn restore_memory() -> Command {
    Command::new("restore-memory")
        .about("Show a forgotten memory again, or bring a former version back")
        .arg(memory_id())
        .arg(
            Arg::new("version")
                .long("version")
                .value_name("NUMBER")
                .allow_negative_numbers(true)
                .help(
                    "The version whose text, tags and origin come back: venom history shows them",
                ),
        )
        .arg(json())
}

fn erase() -> Command {
    Command::new("erase")
        .about("Erase memories for good, with everything that was made of them")
        .after_help(
            "This cannot be undone. Copies elsewhere stay as they are: backups, exports, the chats of assistants.",
        )
        .arg(
            Arg::new("id")
                .required(true)
                .value_name("ID")
                .num_args(1..)
                .help("The memories, such as mem_1795447200000000"),
        )
        .arg(
            Arg::new("yes")
                .long("yes")
                .action(ArgAction::SetTrue)
                .help("Do not ask"),
        )
        .arg(json())
}

fn quarantine() -> Command {
    Command::new("quarantine")
        .about("Look through memories of clients that you do not trust, and decide about them")
        .subcommand_required(true)
        .subcommand(
            Command::new("list")
                .about("List what waits in quarantine, of all spaces, newest first")
                .arg(limit("20", "Most memories, 1 to 1000"))
                .arg(before())
                .arg(json()),
        )
        .subcommand(
            Command::new("release")
                .about("Let a memory be recalled from now on")
                .arg(
                    memory_id()
                        .required(false)
                        .required_unless_present("all")
                        .conflicts_with("all"),
                )
                .arg(
                    Arg::new("all")
                        .long("all")
                        .action(ArgAction::SetTrue)
                        .help("Everything that waits"),
                ),
        )
        .subcommand(
            Command::new("discard")
                .about("Keep a memory hidden and no longer list it")
                .arg(memory_id()),
        )
}

fn import() -> Command {
    Command::new("import")
        .about("Import memories out of another program's files, or out of an export")
        .after_help(
            "A second run adds nothing. With --secrets keep, texts that hold secrets come as they are; otherwise they \
             are skipped or masked as that setting says.",
        )
        .arg(
            Arg::new("path")
                .value_name("FILE|FOLDER")
                .required(true)
                .help("What to read; it is never written to"),
        )
        .arg(Arg::new("from").long("from").value_name("KIND").help(
            "What it is, if that cannot be told: chroma, jsonl, markdown, mem0, server-memory, basic-memory, \
             chatgpt or claude",
        ))
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Read everything, say what would come, store nothing"),
        )
        .arg(
            Arg::new("conversations")
                .long("conversations")
                .action(ArgAction::SetTrue)
                .help("Of the exports of ChatGPT and Claude, import every turn of every conversation, too"),
        )
        .arg(json())
}

fn export() -> Command {
    Command::new("export")
        .about("Write memories to a file that Venom imports, or to notes that people read")
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("FORM")
                .value_parser(["jsonl", "markdown"])
                .default_value("jsonl")
                .help("jsonl has everything; markdown is a note for each memory"),
        )
        .arg(
            Arg::new("out")
                .long("out")
                .value_name("FILE|FOLDER")
                .help("Where to; nothing is overwritten. JSON lines go to stdout without it"),
        )
        .arg(
            Arg::new("by-month")
                .long("by-month")
                .action(ArgAction::SetTrue)
                .help("In markdown, one note for each month"),
        )
        .arg(
            Arg::new("all-spaces")
                .long("all-spaces")
                .action(ArgAction::SetTrue)
                .help("The memories of all spaces instead of one"),
        )
        .args(filters())
}

fn before() -> Arg {
    Arg::new("before")
        .long("before")
        .value_name("ID")
        .help("Only memories older than this one: the last one of the page before")
}

fn persona() -> Command {
    Command::new("persona")
        .about("Look at the personas")
        .subcommand_required(true)
        .subcommand(
            Command::new("list")
                .about("Name every persona there is")
                .arg(json()),
        )
        .subcommand(
            Command::new("show")
                .about("Print a persona")
                .arg(Arg::new("name").help("Its name; the configured one if left out")),
        )
}

fn auth() -> Command {
    Command::new("auth")
        .about("The owner's own way in")
        .subcommand_required(true)
        .subcommand(
            Command::new("init")
                .about("Set a new passphrase and make a new owner token; the old ones are void")
                .arg(
                    Arg::new("passphrase-stdin")
                        .long("passphrase-stdin")
                        .action(ArgAction::SetTrue)
                        .help("Take the passphrase from stdin instead of making one up"),
                ),
        )
}

fn token() -> Command {
    let name = |help| {
        Arg::new("name")
            .long("name")
            .value_name("NAME")
            .required(true)
            .help(help)
    };
    Command::new("token")
        .about("Tokens for clients that send a header")
        .subcommand_required(true)
        .subcommand(
            Command::new("create")
                .about("Make a token; it is shown once")
                .after_help(
                    "With --space NAME it reaches that space only; several are separated by commas. Without, it \
                     reaches all.",
                )
                .arg(name("What you call it, such as laptop"))
                .arg(
                    Arg::new("read-only")
                        .long("read-only")
                        .action(ArgAction::SetTrue)
                        .help("It may search and read, and change nothing"),
                )
                .arg(
                    Arg::new("expires")
                        .long("expires")
                        .value_name("TIME")
                        .help("When it ends: 90d, 12h, 4w or a date such as 2027-03-01 (default: never)"),
                )
                .arg(json()),
        )
        .subcommand(Command::new("list").about("List the tokens and when they were used").arg(json()))
        .subcommand(
            Command::new("revoke")
                .about("Make a token void, at once")
                .arg(Arg::new("name").value_name("NAME").required(true).help("Its name")),
        )
}

fn grant() -> Command {
    Command::new("grant")
        .about("Apps that were let in, and browsers that are signed in")
        .subcommand_required(true)
        .subcommand(
            Command::new("list")
                .about("List apps, browsers and passkeys")
                .arg(json()),
        )
        .subcommand(
            Command::new("revoke")
                .about("Shut an app out, at once")
                .arg(
                    Arg::new("number")
                        .value_name("NUMBER")
                        .required(true)
                        .value_parser(value_parser!(i64))
                        .help("The number that venom grant list shows"),
                ),
        )
        .subcommand(
            Command::new("revoke-all").about("Shut every app out and sign every browser out"),
        )
}

fn audit() -> Command {
    Command::new("audit")
        .about("Show who signed in, who was let in, and what was stored, changed and forgotten")
        .arg(limit("50", "Most lines, 1 to 100000; the newest"))
        .arg(
            Arg::new("since")
                .long("since")
                .value_name("TIME")
                .help("Only what happened then or later: 2026-03-01, yesterday, 3 days ago"),
        )
        .arg(json())
}

fn memory_id() -> Arg {
    Arg::new("id")
        .required(true)
        .value_name("ID")
        .help("The memory, such as mem_1795447200000000")
}

fn limit(default: &'static str, help: &'static str) -> Arg {
    Arg::new("limit")
        .long("limit")
        .short('n')
        .value_name("COUNT")
        .default_value(default)
        .allow_negative_numbers(true)
        .help(help)
}

fn tags(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name("TAG")
        .action(ArgAction::Append)
        .help(help)
}

/// What a memory may tell of where it comes from.
fn origin() -> [Arg; 3] {
    [
        (
            "speaker",
            "NAME",
            "Who said it: a name, or user or assistant",
        ),
        ("session", "NAME", "The conversation it was said in"),
        (
            "occurred-at",
            "TIME",
            "When it happened: 2026-03-01, 2026-03-01T08:30:00Z, yesterday",
        ),
    ]
    .map(|(name, value, help)| Arg::new(name).long(name).value_name(value).help(help))
}

/// Which memories count.
fn filters() -> Vec<Arg> {
    let lists = [
        tags("tag", "Only memories with one of these tags").short('t'),
        tags("tag-all", "Only memories with every one of these tags"),
        tags("tag-none", "Only memories with none of these tags"),
    ];
    let texts = [
        (
            "since",
            "TIME",
            "Only what happened then or later: 2026-03-01, 2026-03, last week, 3 days ago",
        ),
        (
            "until",
            "TIME",
            "Only what happened up to then; a period counts whole",
        ),
        ("speaker", "NAME", "Only what this speaker said"),
        ("session", "NAME", "Only memories of this conversation"),
    ];
    let texts =
        texts.map(|(name, value, help)| Arg::new(name).long(name).value_name(value).help(help));
    lists.into_iter().chain(texts).collect()
}

fn json() -> Arg {
    Arg::new("json")
        .long("json")
        .action(ArgAction::SetTrue)
        .help("Answer in JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn every_setting_is_in_the_long_help() {
        let help = command().render_long_help().to_string();
        for setting in SETTINGS {
            assert!(
                help.contains(&format!("--{} ", setting.flag)),
                "--{}",
                setting.flag
            );
            assert!(setting.variables.iter().all(|name| help.contains(name)));
        }
    }
}
