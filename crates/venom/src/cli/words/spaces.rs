//! The words of `venom space`.

use clap::{Arg, ArgAction, Command};

pub(super) fn space() -> Command {
    Command::new("space")
        .about("List, create, rename and delete spaces, and move memories between them")
        .subcommand_required(true)
        .subcommand(
            Command::new("list")
                .about("List the spaces and how many memories they have")
                .arg(super::json()),
        )
        .subcommand(
            Command::new("create")
                .about("Make an empty space; storing a memory in one makes it, too")
                .arg(name("name", "NAME", "Its name")),
        )
        .subcommand(
            Command::new("rename")
                .about("Give a space another name; tokens and apps that are bound to it keep their rights")
                .arg(name("old", "OLD", "Its name"))
                .arg(name("new", "NEW", "Its new name, which no space may have")),
        )
        .subcommand(moves())
        .subcommand(
            Command::new("delete")
                .about("Hide all memories of a space and the space itself; asks first")
                .arg(name("name", "NAME", "Its name"))
                .arg(
                    Arg::new("yes")
                        .long("yes")
                        .action(ArgAction::SetTrue)
                        .help("Do not ask"),
                ),
        )
}

fn moves() -> Command {
    // Of memories that are named one by one nothing is to be selected.
    let filters = super::filters();
    let filters = filters.into_iter().map(|it| it.conflicts_with("ids"));
    Command::new("move")
        .about("Move memories to another space, by their ids or all that a filter finds")
        .arg(
            Arg::new("ids")
                .value_name("ID")
                .num_args(1..)
                .required_unless_present("from")
                .conflicts_with("from")
                .help("The memories, such as mem_1795447200000000"),
        )
        .arg(
            Arg::new("to")
                .long("to")
                .value_name("SPACE")
                .required(true)
                .help("Where to; it is made if there is none of that name"),
        )
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("SPACE")
                .help("All memories of this space, or those that the filters below find"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Say how many would be moved, and move none"),
        )
        .args(filters)
}

fn name(id: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(id).value_name(value).required(true).help(help)
}
