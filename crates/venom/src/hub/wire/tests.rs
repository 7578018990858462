use super::*;
use crate::hub::calls::BackupCall;
use crate::hub::{SpaceAnswer, SpaceCall};
use venom_core::{
    Backup, BackupNote, ClientName, Emptied, Imported, Move, Moved, NewImport, Precautions,
    SecretKind, SecretPolicy, Source, SpaceInfo, TokenName, Within,
};
use venom_fuzz::Target;
use venom_store::DatabaseFacts;

#[track_caller]
fn check_round_trip(call: &Call) {
    let line = serde_json::to_string(&CallLine::new(7, RequestKey(u128::MAX), call)).unwrap();
    let back: CallLine = serde_json::from_str(&line).unwrap();
    let (key, parsed) = back.parse().unwrap();
    assert_eq!(key, RequestKey(u128::MAX));
    assert_eq!(format!("{parsed:?}"), format!("{call:?}"));
}

fn filter() -> Filter {
    Filter {
        space: SpaceName::parse("work").unwrap(),
        tags_any: vec![Tag::parse("a", 1).unwrap()],
        tags_all: vec![Tag::parse("b", 1).unwrap()],
        tags_none: vec![Tag::parse("ü", 1).unwrap()],
        since: Some(Timestamp::from_micros(-1)),
        until: None,
        speaker: Some(Speaker::parse("Anna").unwrap()),
        session: Some(SessionName::parse("monday").unwrap()),
    }
}

fn origin() -> Origin {
    Origin {
        speaker: Some(Speaker::parse("Zoë").unwrap()),
        session: Some(SessionName::parse("s").unwrap()),
        occurred_at: Some(Timestamp::from_micros(-7)),
    }
}

fn source() -> Source {
    Source {
        client: ClientName::told("claude-ai"),
        token: TokenName::told("laptop"),
    }
}

fn precautions() -> Precautions {
    Precautions {
        secrets: SecretPolicy::Mask,
        quarantine: true,
    }
}

fn within() -> Within {
    let spaces = ["a", "b c"].map(|name| SpaceName::parse(name).unwrap());
    Within::Spaces(spaces.to_vec())
}

fn some_move() -> Move {
    let ids = vec![
        MemoryId::parse("mem_1").unwrap(),
        MemoryId::parse("mem_2").unwrap(),
    ];
    let mut what = Move::new(ids, SpaceName::parse("été").unwrap(), source()).unwrap();
    what.within = within();
    what
}

#[test]
fn calls_about_spaces_cross_the_socket_unchanged() {
    let name = |name: &str| SpaceName::parse(name).unwrap();
    for call in [
        SpaceCall::List,
        SpaceCall::Create(name("a b")),
        SpaceCall::Rename {
            from: name("a"),
            to: name("ü"),
        },
        SpaceCall::Move(some_move()),
        SpaceCall::Empty(name("a")),
    ] {
        check_round_trip(&Call::Spaces(call));
    }
    let space = |newest| SpaceInfo {
        name: name("a \"b\""),
        memories: u64::MAX,
        hidden: 2,
        newest,
    };
    for answer in [
        SpaceAnswer::List(vec![space(None), space(Some(Timestamp::from_micros(-1)))]),
        SpaceAnswer::Created(true),
        SpaceAnswer::Renamed,
        SpaceAnswer::Moved(vec![Moved::Moved, Moved::Already, Moved::NotFound]),
        SpaceAnswer::Emptied(Emptied {
            forgotten: 7,
            deleted: true,
        }),
    ] {
        let expected = format!("{answer:?}");
        let line = ReplyLine::new(1, Ok(Answer::Spaces(answer)));
        let text = serde_json::to_string(&line).unwrap();
        let back: ReplyLine = serde_json::from_str(&text).unwrap();
        let Ok(Answer::Spaces(back)) = back.parse() else {
            panic!("{text} came back as something else");
        };
        assert_eq!(format!("{back:?}"), expected);
    }
}

#[test]
fn every_call_crosses_the_socket_unchanged() {
    let id = MemoryId::parse("mem_42").unwrap();
    check_round_trip(&Call::Remember(NewMemory {
        space: SpaceName::parse("s p").unwrap(),
        content: Content::parse("line\nbreak \u{1F980} \"quoted\"").unwrap(),
        tags: Tags::parse(&["x", "y"]).unwrap(),
        origin: origin(),
        source: source(),
        duplicates: Duplicates::Keep,
        precautions: precautions(),
    }));
    let turn = Turn {
        content: Content::parse("said").unwrap(),
        tags: Tags::parse(&["x"]).unwrap(),
        speaker: origin().speaker,
        occurred_at: origin().occurred_at,
    };
    let space = SpaceName::parse("s").unwrap();
    let conversation = NewConversation::new(space, origin().session, vec![turn]).unwrap();
    let conversation = conversation.from_source(source(), precautions());
    check_round_trip(&Call::RememberConversation(conversation));
    let change = MemoryChange {
        id,
        content: None,
        tags: Some(Tags::default()),
        origin: origin(),
        source: Source::default(),
        precautions: Precautions::NONE,
    };
    check_round_trip(&Call::Update(change, within()));
    check_round_trip(&Call::Recall(RecallQuery {
        text: QueryText::parse("tea").unwrap(),
        limit: ResultLimit::default(),
        filter: filter(),
        similarity_min: Some(0.1 + 0.2),
        explain: true,
    }));
    check_round_trip(&Call::List(ListQuery {
        filter: filter(),
        all_spaces: true,
        limit: ListPage::default(),
        before: Some(id),
    }));
    for call in [
        Call::Show(id),
        Call::Forget(id, within()),
        Call::Forget(id, Within::Everywhere),
        Call::Restore(id, within()),
        Call::Quarantined(Some(id), ListPage::default()),
        Call::Judge(id, Verdict::Release),
        Call::Judge(id, Verdict::Discard),
        Call::Stats(SpaceName::parse("x").unwrap()),
        Call::Check,
        Call::Embed(vec!["a".to_owned()]),
    ] {
        check_round_trip(&call);
    }
}

#[test]
fn hits_and_vectors_keep_every_bit() {
    let memory = Memory {
        id: MemoryId::parse("mem_1").unwrap(),
        space: SpaceName::parse("s").unwrap(),
        content: Content::parse("c").unwrap(),
        tags: Tags::default(),
        stored_at: Timestamp::from_micros(5),
        origin: origin(),
        source: source(),
        quarantined: true,
        metadata: Metadata::parse(r#"{"weight":0.1}"#).ok(),
    };
    let hit = Hit {
        memory,
        parts: Parts::from_array([
            0.1 + 0.2,
            -0.0,
            0.0,
            1.0e-30,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.0,
            0.7,
        ]),
        similarity: 0.1 + 0.2,
        passage: PassageSpan(3..9),
        matched_words: vec!["walnut".to_owned()],
    };
    let memory = hit.memory.clone();
    let line = ReplyLine::new(1, Ok(Answer::Hits(vec![hit.clone()])));
    let text = serde_json::to_string(&line).unwrap();
    let back: ReplyLine = serde_json::from_str(&text).unwrap();
    assert_eq!(back.parse().unwrap().hits().unwrap(), [hit]);
    let changed = Changed {
        memory,
        masked: vec![SecretKind::of_name("card number").unwrap()],
    };
    let line = ReplyLine::new(1, Ok(Answer::Changed(changed.clone())));
    let text = serde_json::to_string(&line).unwrap();
    let back: ReplyLine = serde_json::from_str(&text).unwrap();
    assert_eq!(back.parse().unwrap().changed().unwrap(), changed);
    let vector = vec![vec![1.0e-30_f32, -0.333_333_34, f32::MIN_POSITIVE]];
    let text = serde_json::to_string(&ReplyLine::new(1, Ok(Answer::Vectors(vector.clone()))));
    let back: ReplyLine = serde_json::from_str(&text.unwrap()).unwrap();
    assert_eq!(back.parse().unwrap().vectors().unwrap(), vector);
}

#[test]
fn fuzz_socket_lines() {
    let id = MemoryId::parse("mem_42").unwrap();
    let list = Call::List(ListQuery {
        filter: filter(),
        all_spaces: true,
        limit: ListPage::default(),
        before: Some(id),
    });
    let line = |call: &Call| serde_json::to_string(&CallLine::new(7, RequestKey(9), call)).unwrap();
    let recall = Call::Recall(RecallQuery {
        text: QueryText::parse("tea").unwrap(),
        limit: ResultLimit::default(),
        filter: filter(),
        similarity_min: Some(0.5),
        explain: true,
    });
    let change = MemoryChange {
        id,
        content: None,
        tags: Some(Tags::default()),
        origin: origin(),
        source: source(),
        precautions: precautions(),
    };
    let update = Call::Update(change, within());
    let moves = Call::Spaces(SpaceCall::Move(some_move()));
    let reply = ReplyLine::new(3, Ok(Answer::Vectors(vec![vec![0.5, -1.0]])));
    let reply = serde_json::to_string(&reply).unwrap();
    let words = [
        "\"op\":",
        "\"remember\"",
        "\"stats\"",
        "\"key\":",
        "\"call\":",
        "\"reply\":",
        "\"Ok\":",
        "\"Err\":",
        "\"done\"",
        "\"limit\":",
        "{",
        "}",
        "[",
        "]",
        ",",
        "null",
        "1e39",
        "\"space\":\"x\"",
    ];
    let target = Target::new("socket-lines").words(&words).seed(reply);
    let target = target
        .seed(line(&list))
        .seed(line(&recall))
        .seed(line(&update))
        .seed(line(&moves));
    target.run(|bytes| {
        let reply = serde_json::from_slice::<ReplyLine>(bytes).map(|line| line.parse().is_ok());
        let call =
            serde_json::from_slice::<CallLine>(bytes).map_err(|_| reply.as_ref().ok().copied())?;
        let (key, call) = call.parse().map_err(|_| None)?;
        let again = serde_json::to_string(&CallLine::new(1, key, &call)).unwrap();
        let again: CallLine = serde_json::from_str(&again).unwrap();
        let (same_key, same) = again.parse().expect("what was taken is taken again");
        assert_eq!((same_key, format!("{same:?}")), (key, format!("{call:?}")));
        Ok::<_, Option<bool>>(std::mem::discriminant(&call))
    });
}

#[test]
fn memories_from_elsewhere_cross_the_socket_unchanged() {
    let full = NewImport {
        id: MemoryId::new(1_700_000_000),
        space: SpaceName::parse("s").unwrap(),
        content: Content::parse("c\n\"d\"").unwrap(),
        tags: Tags::parse(&["x"]).unwrap(),
        origin: origin(),
        stored_at: Some(Timestamp::from_micros(-1)),
        is_time_guessed: true,
        source: source(),
        metadata: Metadata::parse(r#"{"weight":0.1}"#).ok(),
        turn: Some("c/1".to_owned()),
    };
    let empty = NewImport {
        id: None,
        tags: Tags::default(),
        origin: Origin::default(),
        stored_at: None,
        is_time_guessed: false,
        source: Source::default(),
        metadata: None,
        turn: None,
        ..full.clone()
    };
    check_round_trip(&Call::Import(vec![full, empty]));
    let id = MemoryId::parse("mem_1").unwrap();
    let answers = vec![
        Imported::Stored(id),
        Imported::Renumbered(id),
        Imported::Known(id),
        Imported::Hidden(id),
        Imported::Refused("why".to_owned()),
    ];
    let line = ReplyLine::new(1, Ok(Answer::Imported(answers.clone())));
    let text = serde_json::to_string(&line).unwrap();
    let back: ReplyLine = serde_json::from_str(&text).unwrap();
    assert_eq!(back.parse().unwrap().imported().unwrap(), answers);
}

#[test]
fn backups_cross_the_socket_unchanged() {
    let backup = Backup {
        path: "/b/ü \"1\"".to_owned(),
        made_at: Timestamp::from_micros(-7),
    };
    let about = Call::Backup;
    check_round_trip(&about(BackupCall::Snapshot("/b/x/venom.db".to_owned())));
    check_round_trip(&about(BackupCall::Note(BackupNote {
        made: vec![backup.clone()],
        removed: vec!["/b/2".to_owned()],
    })));
    check_round_trip(&about(BackupCall::List));
    let facts = DatabaseFacts {
        schema: 7,
        model: Some(ModelStamp {
            name: "m".to_owned(),
            sha256: "53aa".to_owned(),
            dimensions: 384,
        }),
        memories: 1,
        hidden: 2,
        spaces: 3,
    };
    let text = serde_json::to_string(&ReplyLine::new(1, Ok(Answer::Snapshot(facts.clone()))));
    let back: ReplyLine = serde_json::from_str(&text.unwrap()).unwrap();
    assert_eq!(back.parse().unwrap().snapshot().unwrap(), facts);
    let all = vec![backup];
    let text = serde_json::to_string(&ReplyLine::new(1, Ok(Answer::Backups(all.clone()))));
    let back: ReplyLine = serde_json::from_str(&text.unwrap()).unwrap();
    assert_eq!(back.parse().unwrap().backups().unwrap(), all);
    let elsewhere = CallLine::new(
        1,
        RequestKey(1),
        &about(BackupCall::Snapshot("venom.db".to_owned())),
    );
    let refused = elsewhere.parse().unwrap_err().message;
    assert!(refused.contains("expected one from / on"), "{refused}");
}
