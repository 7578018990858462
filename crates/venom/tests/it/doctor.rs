//! `venom doctor` as people run it.

use crate::{everything, serve, venom};
use serde_json::Value;
use venom_testing::Folder;

/// The verdict on each thing.
fn verdicts(json: &str) -> Vec<(String, String)> {
    let findings: Value = serde_json::from_str(json).unwrap();
    let verdict = |finding: &Value| {
        let word = |name: &str| finding[name].as_str().unwrap().to_owned();
        (word("topic"), word("verdict"))
    };
    findings.as_array().unwrap().iter().map(verdict).collect()
}

#[test]
fn a_sound_folder_is_told_to_be_sound() {
    let folder = Folder::new();
    let said = venom(&folder, ["doctor"]).run().success();
    assert!(
        said.contains("is not there yet: nothing was stored"),
        "{said}"
    );
    assert!(!folder.join("data").exists());
    venom(&folder, ["store", "Ana is allergic to walnuts"])
        .run()
        .success();
    let said = venom(&folder, ["doctor"]).run().success();
    for words in [
        "database     ok         every page was read; 1 memory, 0 forgotten\n",
        "model        ok         all-MiniLM-L6-v2 (sha256 53aa51172d14…, 384 dimensions), every byte checked\n",
        "recall       ok         1 of 1 sampled memories are among the first 10 when asked for by their own words\n",
    ] {
        assert!(said.contains(words), "{said}");
    }
    let json = venom(&folder, ["doctor", "--repair", "--json"])
        .run()
        .success();
    let bad = |(_, verdict): &(String, String)| verdict != "ok";
    assert_eq!(
        verdicts(&json).iter().filter(|found| bad(found)).count(),
        0,
        "{json}"
    );
    assert_eq!(everything(&folder).len(), 1);
}

#[test]
fn a_folder_made_with_f32_goes_on_with_int8_by_any_kernel() {
    let folder = Folder::new();
    let run = |words: &[&str], precision: &str, kernel: &str| {
        venom(&folder, [])
            .args(words)
            .env("VENOM_PRECISION", precision)
            .env("VENOM_KERNEL", kernel)
            .run()
            .success()
    };
    run(&["store", "Ana is allergic to walnuts"], "f32", "best");
    run(
        &["store", "The cabin key hangs behind the kettle"],
        "int8",
        "best",
    );
    for (precision, kernel) in [("int8", "best"), ("int8", "scalar"), ("f32", "best")] {
        let json = run(&["doctor", "--json"], precision, kernel);
        assert!(
            verdicts(&json).iter().all(|(_, found)| found == "ok"),
            "{json}"
        );
        let found = run(
            &["search", "What must Ana not eat?", "--limit", "1"],
            precision,
            kernel,
        );
        assert!(found.contains("walnuts"), "{found}");
        let stats = run(&["stats", "--json"], precision, kernel);
        let stats: Value = serde_json::from_str(&stats).unwrap();
        let engine = stats["engine"].as_str().unwrap();
        let is_named = kernel == "best" || engine.contains(kernel);
        assert!(engine.starts_with(precision) && is_named, "{engine}");
    }
    let refused = venom(&folder, ["stats", "--kernel", "mmx"])
        .run()
        .failure(2);
    assert!(refused.contains("expected best, scalar"), "{refused}");
}

#[test]
fn a_folder_in_use_is_asked_about_and_never_repaired() {
    let folder = Folder::new();
    let server = serve(&folder);
    let json = venom(&folder, ["doctor", "--json"]).run().success();
    assert!(
        verdicts(&json).contains(&("database".to_owned(), "note".to_owned())),
        "{json}"
    );
    let refused = venom(&folder, ["doctor", "--repair"]).run().failure(69);
    assert!(
        refused.contains("is in use: stop Venom before you repair anything"),
        "{refused}"
    );
    drop(server);
}

#[test]
fn a_damaged_database_is_told_and_left_alone() {
    let folder = Folder::new();
    venom(&folder, ["store", "Ana is allergic to walnuts"])
        .run()
        .success();
    let database = folder.join("data/venom.db");
    let bytes = std::fs::read(&database).unwrap();
    std::fs::write(&database, &bytes[..bytes.len() / 2]).unwrap();
    let refused = venom(&folder, ["doctor", "--repair"]).run().failure(69);
    assert!(refused.contains("things are wrong"), "{refused}");
    assert_eq!(std::fs::read(&database).unwrap(), bytes[..bytes.len() / 2]);
}

/// The handshake of a remote app, step by step; each thing that stands in its way is named.
#[test]
fn the_handshake_of_a_remote_app() {
    let guarded = crate::guarded::Guarded::start();
    let url = guarded.origin.as_str();
    let said = guarded
        .venom(["doctor", "--public-url", url])
        .run()
        .success();
    for step in [
        "connection",
        "challenge",
        "resource",
        "server",
        "registration",
        "sign-in",
        "tokens",
        "header",
    ] {
        let line = said.lines().find(|line| line.starts_with(step));
        let line = line.unwrap_or_else(|| panic!("{step} is missing: {said}"));
        assert!(line.contains(" ok "), "{line}");
    }
    // It leaves nothing behind.
    let tokens = guarded.venom(["token", "list"]).run().success();
    assert!(!tokens.contains("doctor"), "{tokens}");

    // Another name than the one it is configured for.
    let other = format!("http://127.0.0.1:{}", guarded.server.port);
    let said = guarded.venom(["doctor", "--public-url", &other]).run();
    let report = said.stdout.clone();
    assert!(
        report.contains("not below http://127.0.0.1") && report.contains("VENOM_PUBLIC_URL="),
        "{report}"
    );
    assert!(said.failure(69).contains("wrong"));
}

#[test]
fn a_handshake_with_somebody_else() {
    let folder = Folder::new();
    // A local server signs nobody in.
    let server = crate::serve(&folder);
    let url = format!("http://localhost:{}", server.port);
    let output = venom(&folder, ["doctor", "--public-url", &url, "--json"]).run();
    assert!(
        output.stdout.contains("answers without a token"),
        "{}",
        output.stdout
    );
    output.failure(69);
    drop(server);
    let output = venom(&folder, ["doctor", "--public-url", &url]).run();
    assert!(
        output.stdout.contains("cannot be reached"),
        "{}",
        output.stdout
    );
    let said = venom(&folder, ["doctor", "--public-url", "http://venom.example"])
        .run()
        .failure(2);
    assert!(said.contains("expected https://"), "{said}");
}
