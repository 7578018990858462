//! The command line on its own.

use crate::{everything, venom};
use serde_json::Value;
use venom_testing::Folder;

#[test]
fn store_search_list_show_forget_stats() {
    let folder = Folder::new();
    let said = venom(
        &folder,
        [
            "store",
            "Ana is allergic to walnuts",
            "--tag",
            "health",
            "-t",
            "food",
        ],
    )
    .run()
    .success();
    let id = said
        .trim_end()
        .trim_start_matches("Remembered as ")
        .trim_end_matches('.')
        .to_owned();
    assert!(id.starts_with("mem_"), "{said}");
    let json = venom(&folder, ["store", "--json"])
        .run_with("Bücher\nüber Käse\n".as_bytes())
        .success();
    let stored: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(stored["content"], "Bücher\nüber Käse");
    assert_eq!(stored["tags"], Value::Null);

    let found = venom(
        &folder,
        ["search", "which food is dangerous", "--limit", "1"],
    )
    .run()
    .success();
    assert!(
        found.contains("walnuts") && found.contains("#health") && !found.contains("Käse"),
        "{found}"
    );
    let json = venom(&folder, ["search", "--json", "-"])
        .run_with(b"nuts")
        .success();
    let found: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(found["total_results"], 2);
    assert_eq!(found["results"][0]["memory_id"], id.as_str());
    let tagged = venom(&folder, ["search", "anything", "--tag", "food"])
        .run()
        .success();
    assert!(
        tagged.contains("walnuts") && !tagged.contains("Käse"),
        "{tagged}"
    );
    let old = venom(&folder, ["search", "anything", "--until", "2020-01-01"])
        .run()
        .success();
    assert_eq!(old, "Nothing found.\n");

    let listed = venom(&folder, ["list"]).run().success();
    let (newest, oldest) = (
        listed.find("Käse").unwrap(),
        listed.find("walnuts").unwrap(),
    );
    assert!(newest < oldest, "newest first: {listed}");
    assert!(
        venom(&folder, ["show", &id])
            .run()
            .success()
            .contains("walnuts")
    );
    let stats: Value =
        serde_json::from_str(&venom(&folder, ["stats", "--json"]).run().success()).unwrap();
    assert_eq!(
        (&stats["memories"], &stats["forgotten"]),
        (&Value::from(2), &Value::from(0))
    );
    assert_eq!(stats["embedding_dimensions"], 384);

    assert_eq!(
        venom(&folder, ["forget", &id]).run().success(),
        format!("Forgot {id}. It can be restored within 30 days: venom restore-memory {id}\n")
    );
    let gone = venom(&folder, ["show", &id]).run().failure(1);
    assert_eq!(gone, format!("venom: memory {id} was not found\n"));
    assert_eq!(venom(&folder, ["forget", &id]).run().failure(1), gone);
    assert_eq!(everything(&folder).len(), 1);
}

#[test]
fn embed_gives_one_vector_a_line() {
    let folder = Folder::new();
    let out = venom(&folder, ["embed"])
        .run_with("a cat\r\n\na cat\nlast".as_bytes())
        .success();
    let vectors: Vec<Vec<f32>> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(vectors.len(), 4, "an empty line is a text, too");
    assert_eq!(vectors[0], vectors[2]);
    for vector in &vectors {
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!(vector.len() == 384 && (length - 1.0).abs() < 1e-4);
    }
    let bad = venom(&folder, ["embed"])
        .run_with(b"fine\n\xff\n")
        .failure(2);
    assert_eq!(
        bad,
        "venom: line 2 is not UTF-8: expected text, received an invalid byte at 0\n"
    );
    assert_eq!(venom(&folder, ["embed"]).run_with(b"").success(), "");
}

#[test]
fn personas_are_listed_and_shown() {
    let folder = Folder::new();
    let listed = venom(&folder, ["persona", "list"]).run().success();
    assert!(
        listed.starts_with("* default") && listed.contains("  variant2"),
        "{listed}"
    );
    let json: Value = serde_json::from_str(
        &venom(&folder, ["persona", "list", "--json"])
            .run()
            .success(),
    )
    .unwrap();
    assert_eq!(json["personas"][0]["configured"], true);
    let shown = venom(&folder, ["persona", "show", "variant2"])
        .run()
        .success();
    assert_ne!(shown, venom(&folder, ["persona", "show"]).run().success());
    assert!(
        !folder.join("data").exists(),
        "personas need no data folder"
    );
}

#[test]
fn completions_help_and_version() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = venom(&folder, ["completions", shell]).run().success();
        assert!(
            script.contains("venom") && script.contains("search"),
            "{shell}"
        );
    }
    let version = venom(&folder, ["--version"]).run().success();
    assert_eq!(version, format!("venom {}\n", env!("CARGO_PKG_VERSION")));
    let help = venom(&folder, ["--help"]).run().success();
    for word in ["serve", "stdio", "store", "search", "--port", "VENOM_DATA"] {
        assert!(help.contains(word), "{word}");
    }
}

/// Stored text may hold anything; a terminal is never handed its control sequences.
#[test]
fn control_characters_do_not_reach_the_terminal() {
    let folder = Folder::new();
    venom(&folder, ["store"])
        .run_with(b"red \x1b[31malert\x07")
        .success();
    let shown = venom(&folder, ["list"]).run().success();
    assert!(
        !shown.contains('\x1b') && !shown.contains('\x07'),
        "{shown:?}"
    );
    assert_eq!(
        everything(&folder).into_values().next().unwrap(),
        "red \u{1b}[31malert\u{7}"
    );
}

/// More memories than a page holds.
#[test]
fn pages_continue_where_the_last_one_ended() {
    let folder = Folder::new();
    let mut client = crate::stdio(&folder);
    for number in 0..7 {
        crate::store(&mut client, &format!("Page {number}"));
    }
    let page = |before: Option<&str>| -> Vec<String> {
        let mut command = venom(&folder, ["list", "--json", "--limit", "3"]);
        if let Some(id) = before {
            command = command.args(["--before", id]);
        }
        let page: Value = serde_json::from_str(&command.run().success()).unwrap();
        let ids = page["memories"].as_array().unwrap().iter();
        ids.map(|memory| memory["memory_id"].as_str().unwrap().to_owned())
            .collect()
    };
    let first = page(None);
    let second = page(first.last().map(String::as_str));
    let third = page(second.last().map(String::as_str));
    assert_eq!((first.len(), second.len(), third.len()), (3, 3, 1));
    let all: std::collections::BTreeSet<String> =
        [first, second, third].concat().into_iter().collect();
    assert_eq!(all.len(), 7);
}
