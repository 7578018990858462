//! The words of `backup` and `restore`.

use super::json;
use clap::{Arg, ArgAction, Command};

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .action(ArgAction::SetTrue)
        .help(help)
}

/// Both commands.
pub(super) fn commands() -> [Command; 2] {
    let backup = Command::new("backup")
        .about("Write a verified copy of everything to a folder, while servers run")
        .after_help(
            "Each backup is a folder of its own, venom-YYYYMMDDTHHMMSSZ. The personas in it are those that `venom persona \
             list` shows with the same settings, but for the built-in ones. With --backup-passphrase-file FILE \
             (VENOM_BACKUP_PASSPHRASE_FILE) it is encrypted. More in docs/backup.md.",
        )
        .arg(
            Arg::new("folder")
                .value_name("FOLDER")
                .help("Where to; made if it is missing (default: VENOM_BACKUP_DIR)"),
        )
        .arg(
            Arg::new("keep")
                .long("keep")
                .value_name("COUNT")
                .help("Afterwards, remove all backups there but the newest so many"),
        )
        .arg(
            Arg::new("keep-days")
                .long("keep-days")
                .value_name("DAYS")
                .help("Afterwards, remove backups there that are older"),
        )
        .arg(flag(
            "encrypt",
            "Encrypt it with a passphrase: that of VENOM_BACKUP_PASSPHRASE_FILE, or one that is asked for or is a line on stdin",
        ))
        .arg(json());
    let restore = Command::new("restore")
        .about("Put a backup back in place; what is there is moved aside, never overwritten")
        .after_help(
            "Stop every Venom that uses the data folder first. Personas go to --persona-dir (PERSONALITY_DIR), with --to \
             to FOLDER/personalities.",
        )
        .arg(
            Arg::new("backup")
                .value_name("BACKUP")
                .required(true)
                .help("The folder of a backup, or a folder of backups: then the newest"),
        )
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("FOLDER")
                .help("The data folder (default: the configured one)"),
        )
        .arg(flag(
            "dry-run",
            "Check the backup and say what would be done, change nothing",
        ))
        .arg(flag(
            "replace",
            "Move memories that are there aside, to before-restore-… in the data folder; personas that differ, too",
        ))
        .arg(
            flag(
                "memories-only",
                "Leave tokens, passkeys, the audit log and personas as they are",
            )
            .conflicts_with("personas-only"),
        )
        .arg(flag(
            "personas-only",
            "Restore the personas and leave the data folder as it is; servers may run",
        ))
        .arg(json());
    [backup, restore]
}
