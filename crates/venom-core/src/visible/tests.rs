use super::*;
use proptest::prelude::*;
use venom_fuzz::Target;

#[track_caller]
fn check(stored: &str, expected: &str) {
    assert_eq!(text(stored), expected, "{stored:?}");
    assert_eq!(text(expected), expected, "not the same when shown again");
}

#[track_caller]
fn check_unchanged(stored: &str) {
    let shown = text(stored);
    assert_eq!(shown, stored);
    assert!(matches!(shown, Cow::Borrowed(_)), "{stored:?} was copied");
}

#[test]
fn ordinary_text_is_borrowed() {
    for stored in [
        "",
        "Anna likes green tea.\n\tShe said so on 2026-03-01.",
        "Größe: 3 m, 茶 – «ça va»… naïve façade, e\u{301}",
        "日本語、한국어, ไทย, ქართული, עברית, العربية",
        "x\u{A0}y\u{3000}z\u{202F}!",
        "if a < b && c != d { return \"\\u{202E}\"; } // ⟨U+202E⟩",
        "\u{FFFD}\u{FFFC}",
    ] {
        check_unchanged(stored);
    }
}

#[test]
fn emoji_stay_whole() {
    for stored in [
        // Families, couples, professions, hair, skin.
        "👨\u{200D}👩\u{200D}👧\u{200D}👦",
        "👩🏽\u{200D}🚀 👩🏿\u{200D}🤝\u{200D}👨🏻",
        "🧑\u{200D}🦰 🏃🏾\u{200D}♀\u{FE0F} 🧔\u{200D}♂\u{FE0F} 👁\u{FE0F}\u{200D}🗨\u{FE0F}",
        "❤\u{FE0F}\u{200D}🔥 ❤\u{FE0F} ☺\u{FE0E} 🏳\u{FE0F}\u{200D}🌈 🏴\u{200D}☠\u{FE0F} 🐦\u{200D}⬛ ⛓\u{FE0F}\u{200D}💥",
        "🙂\u{200D}↔\u{FE0F} 🏃\u{200D}➡\u{FE0F}",
        // Flags and keys.
        "🇩🇪 🇫🇷",
        "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
        "🏴\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F}🏴\u{E0067}\u{E0062}\u{E0077}\u{E006C}\u{E0073}\u{E007F}",
        "1\u{FE0F}\u{20E3} #\u{FE0F}\u{20E3} ©\u{FE0F} ™\u{FE0E} 〰\u{FE0F}",
    ] {
        check_unchanged(stored);
    }
}

#[test]
fn scripts_keep_the_joiners_they_are_written_with() {
    for stored in [
        "می\u{200C}خواهم خانه\u{200C}ها",
        "क\u{94D}\u{200D}ष क\u{94D}\u{200C}ष",
        "ශ\u{DCA}\u{200D}රී",
        "ന\u{D4D}\u{200D} അവ\u{D28}\u{D4D}\u{200D}",
        "র\u{200D}\u{9CD}য",
        "ه\u{200D} ",
        "ᠠ\u{180B}ᠨ",
    ] {
        check_unchanged(stored);
    }
}

#[test]
fn what_deceives_is_made_visible() {
    // "Trojan Source: Invisible Vulnerabilities" (Boucher, Anderson, 2021).
    check(
        "access \u{202E}\u{2066}// check\u{2069} \u{2066}done",
        "access ⟨U+202E…×2⟩// check⟨U+2069⟩ ⟨U+2066⟩done",
    );
    check("gpj\u{202E}exe.", "gpj⟨U+202E⟩exe.");
    let smuggled = "say hi".chars();
    let smuggled = smuggled.filter_map(|c| char::from_u32(0xE_0000 + u32::from(c)));
    check(
        &format!("Hello{}!", smuggled.collect::<String>()),
        "Hello⟨U+E0073…×6⟩!",
    );
    // A flag that is none, and one with more behind it.
    check("🏴\u{E0075}\u{E0073}\u{E007F}", "🏴⟨U+E0075…×3⟩");
    check(
        "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}\u{E0041}",
        "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}⟨U+E0041⟩",
    );
    // Bytes in selectors behind an emoji.
    check(
        "😀\u{FE0F}\u{E0158}\u{E0159}\u{E015C}",
        "😀\u{FE0F}⟨U+E0158…×3⟩",
    );
    // Bits in zero-width characters.
    check(
        "ok\u{200B}\u{200C}\u{200B}\u{200B}\u{2060}.",
        "ok⟨U+200B…×5⟩.",
    );
    check("\u{1B}[31mred\u{7}", "⟨U+001B⟩[31mred⟨U+0007⟩");
    check("safe\rdanger\u{8}\u{8}", "safe⟨U+000D⟩danger⟨U+0008…×2⟩");
    check("a\u{9B}2Jb\u{85}c", "a⟨U+009B⟩2Jb⟨U+0085⟩c");
    check("a\u{2028}b\u{2029}", "a⟨U+2028⟩b⟨U+2029⟩");
    check("\u{FFF9}a\u{FFFA}b\u{FFFB}", "⟨U+FFF9⟩a⟨U+FFFA⟩b⟨U+FFFB⟩");
    check(
        "\u{F8FF}\u{FDD0}\u{10FFFF}x\u{F0000}",
        "⟨U+F8FF…×3⟩x⟨U+F0000⟩",
    );
}

#[test]
fn what_is_only_noise_is_removed() {
    check("co\u{AD}op\u{AD}era\u{AD}tion", "cooperation");
    check("\u{FEFF}start\u{200B} of\u{2060} text", "start of text");
    check("one\r\ntwo\r\n", "one\ntwo\n");
    check("a\u{202E}\r\nb\u{AD}\r\n", "a⟨U+202E⟩\nb\n");
    check("שלום\u{200F} abc\u{200E} \u{61C}", "שלום abc ");
    check("葛\u{E0100}城 a\u{FE0F} 茶\u{FE00}", "葛城 a 茶");
    check("a\u{200D}b c\u{200C}d", "ab cd");
    check("👨\u{200D}x \u{200D}👨 👨\u{200B}\u{200D}👩", "👨x 👨 👨👩");
    check("می\u{200C} خواهم", "می خواهم");
    check("1\u{FE0F}\u{FE0F}", "1\u{FE0F}");
    check("\u{3164}\u{115F}name", "name");
}

#[test]
fn names_stay_in_one_line() {
    assert_eq!(line("a\nb\tc\r\n"), "a⟨U+000A⟩b⟨U+0009⟩c⟨U+000D…×2⟩");
    assert!(matches!(line("Anna 👩\u{200D}🚀"), Cow::Borrowed(_)));
    assert_eq!(
        stripped("An\u{202E}na\n\u{200B} 👩\u{200D}🚀"),
        "Anna 👩\u{200D}🚀"
    );
}

/// Text with many hidden characters, and with what decides about them.
fn strange() -> impl Strategy<Value = String> {
    let hidden = prop::sample::select(vec![
        '\u{1B}',
        '\r',
        '\n',
        '\u{85}',
        '\u{AD}',
        '\u{200B}',
        '\u{200C}',
        '\u{200D}',
        '\u{200F}',
        '\u{202E}',
        '\u{2066}',
        '\u{FE0F}',
        '\u{FE00}',
        '\u{180B}',
        '\u{E0100}',
        '\u{E0067}',
        '\u{E0062}',
        '\u{E0065}',
        '\u{E006E}',
        '\u{E007F}',
        '\u{F8FF}',
        '\u{FFFF}',
        '👩',
        '🏴',
        '🏽',
        '♀',
        '1',
        'ک',
        'क',
        '\u{94D}',
        'ᠠ',
        'a',
        ' ',
    ]);
    let c = prop_oneof![4 => hidden, 1 => any::<char>()];
    prop::collection::vec(c, 0..40).prop_map(|chars| chars.into_iter().collect())
}

proptest! {
    #[test]
    fn what_was_shown_is_shown_as_it_is(stored in strange()) {
        let once = text(&stored).into_owned();
        prop_assert_eq!(&text(&once), &once);
        let once = line(&stored).into_owned();
        prop_assert_eq!(&line(&once), &once);
        let once = stripped(&stored);
        prop_assert_eq!(&stripped(&once), &once);
        prop_assert_eq!(&line(&once), &once);
    }

    #[test]
    fn nothing_hidden_survives_out_of_place(stored in strange()) {
        let shown = text(&stored).into_owned();
        let flags = ["gbeng", "gbsct", "gbwls"].map(|region| {
            let tags = region.chars().filter_map(|c| char::from_u32(0xE_0000 + u32::from(c)));
            format!("🏴{}\u{E007F}", tags.collect::<String>())
        });
        let rest = flags.iter().fold(shown.clone(), |text, flag| text.replace(flag, "🏴"));
        for c in rest.chars() {
            let needed = matches!(c, '\n' | '\t' | '\u{200C}' | '\u{200D}' | '\u{FE0E}' | '\u{FE0F}'
                | '\u{180B}'..='\u{180D}' | '\u{180F}');
            prop_assert!(needed || class(c) == Class::Plain, "{:?} in {:?}", c, shown);
        }
        for c in ["\u{200D}\u{200D}", "\u{FE0F}\u{FE0F}", "\u{200C}\u{200D}", "\u{200D}\u{200C}"] {
            prop_assert!(!shown.contains(c), "{:?}", shown);
        }
    }

    #[test]
    fn it_grows_by_a_known_factor(stored in strange()) {
        prop_assert!(text(&stored).len() <= GROWTH_MAX * stored.len());
        prop_assert!(line(&stored).len() <= GROWTH_MAX * stored.len());
        prop_assert!(stripped(&stored).len() <= stored.len());
    }

    #[test]
    fn ordinary_text_never_changes(stored in "[ -~äöüßéñ茶語\n\t]{0,80}") {
        prop_assert!(matches!(text(&stored), Cow::Borrowed(_)));
    }
}

#[test]
fn fuzz_visible_text() {
    let words = [
        "\u{202E}",
        "\u{200B}",
        "\u{200D}",
        "\u{FE0F}",
        "\u{1F3F4}\u{E0067}",
        "\u{E007F}",
        "\u{1F469}",
        "\u{1F3FD}",
        "\u{180B}",
        "\u{1820}",
        "\u{94D}",
        "\u{7F}",
        "\r\n",
        "\u{2028}",
        "\u{F8FF}",
        "1",
    ];
    let target = Target::new("visible-text").words(&words);
    target.bytes_max(64 * 1024).run(|bytes| {
        let stored = String::from_utf8_lossy(bytes);
        let shown = text(&stored).into_owned();
        assert_eq!(text(&shown), shown, "what was shown is shown as it is");
        let in_line = line(&stored).into_owned();
        assert_eq!(line(&in_line), in_line);
        assert!(!in_line.contains(['\n', '\t', '\r', '\u{202E}', '\u{1B}']));
        let kept = stripped(&stored);
        assert_eq!(stripped(&kept), kept);
        assert!(
            shown.len().max(in_line.len()) <= GROWTH_MAX * stored.len()
                && kept.len() <= stored.len()
        );
        (shown == *stored, in_line == *stored, kept == *stored)
    });
}
