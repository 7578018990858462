//! Texts of many languages and scripts are found by their own words. Tests only.

use super::{Corpus, Document, NewEntry, Question, Section, Slot, Space, Stemming, score};
use crate::memory::{Content, MemoryId, Origin};
use crate::ports::NoVocabulary;
use crate::time::Timestamp;
use unicode_normalization::UnicodeNormalization as _;

/// Three texts of a language and a question for the second.
const LANGUAGES: [(&str, [&str; 3], &str); 17] = [
    (
        "english",
        [
            "My sister plays the cello",
            "The dentist is on Tuesday",
            "We bought a green lamp",
        ],
        "dentists",
    ),
    (
        "german",
        [
            "Meine Schwester spielt Geige",
            "Der Zahnarzt ist am Dienstag",
            "Wir kauften eine grüne Lampe",
        ],
        "wann ist der Zahnarzt",
    ),
    (
        "french",
        [
            "Ma sœur joue du violon",
            "Le rendez-vous chez le médecin est mardi",
            "Nous avons acheté une lampe",
        ],
        "quand est le medecin",
    ),
    (
        "spanish",
        [
            "Mi hermana toca el violín",
            "El dentista es el martes por la mañana",
            "Compramos una lámpara",
        ],
        "¿qué hay por la manana?",
    ),
    (
        "portuguese",
        [
            "Minha irmã toca violino",
            "O dentista é na terça-feira",
            "Compramos uma lâmpada",
        ],
        "terça dentista",
    ),
    (
        "polish",
        [
            "Moja siostra gra na skrzypcach",
            "Dentysta jest we wtorek",
            "Kupiliśmy zieloną lampę",
        ],
        "kiedy dentysta",
    ),
    (
        "turkish",
        [
            "Kız kardeşim keman çalıyor",
            "Dişçi randevusu salı günü İstanbul'da",
            "Yeşil bir lamba aldık",
        ],
        "istanbul dişçi",
    ),
    (
        "greek",
        [
            "Η αδελφή μου παίζει βιολί",
            "Ο οδοντίατρος είναι την Τρίτη",
            "Αγοράσαμε μια πράσινη λάμπα",
        ],
        "οδοντιατρος",
    ),
    (
        "russian",
        [
            "Моя сестра играет на скрипке",
            "Зубной врач принимает во вторник",
            "Мы купили зелёную лампу",
        ],
        "когда врач",
    ),
    (
        "arabic",
        [
            "أختي تعزف على الكمان",
            "موعد طبيب الأسنان يوم الثلاثاء",
            "اشترينا مصباحا أخضر",
        ],
        "طبيب الأسنان",
    ),
    (
        "hebrew",
        [
            "אחותי מנגנת בכינור",
            "התור לרופא השיניים ביום שלישי",
            "קנינו מנורה ירוקה",
        ],
        "רופא השיניים שלישי",
    ),
    (
        "hindi",
        [
            "मेरी बहन वायलिन बजाती है",
            "दंत चिकित्सक मंगलवार को है",
            "हमने एक हरा दीपक खरीदा",
        ],
        "चिकित्सक मंगलवार",
    ),
    (
        "thai",
        ["น้องสาวของฉันเล่นไวโอลิน", "นัดหมอฟันวันอังคาร", "เราซื้อโคมไฟสีเขียว"],
        "หมอฟัน",
    ),
    (
        "chinese",
        ["我妹妹拉小提琴", "星期二去看牙医", "我们买了一盏绿色的灯"],
        "牙医",
    ),
    (
        "japanese",
        [
            "妹はバイオリンを弾きます",
            "火曜日に歯医者へ行きます",
            "緑のランプを買いました",
        ],
        "歯医者",
    ),
    (
        "korean",
        [
            "여동생은 바이올린을 켠다",
            "화요일에 치과에 간다",
            "초록색 램프를 샀다",
        ],
        "치과",
    ),
    (
        "signs",
        ["🎻 🎶", "🦷 v2.1.0 user@example.org", "C++ 💡 3.5 km"],
        "user@example.org",
    ),
];

/// The memories by score of their words alone, best first.
fn ranked(texts: &[&str], question: &str, stemming: Stemming) -> Vec<Slot> {
    let mut space = Space::new(stemming);
    let origin = Origin::default();
    for (id, text) in (1..).zip(texts) {
        space.add(NewEntry {
            id: MemoryId::new(id).unwrap(),
            stored_at: Timestamp::from_micros(0),
            origin: &origin,
            document: Document::new(&origin, &Content::parse(text).unwrap()),
        });
    }
    let question = Question::new(question);
    let sections: [&dyn Section; 1] = [&space];
    let similarities = vec![0.0; texts.len()];
    let parts = score(
        Corpus::new(&sections),
        &question,
        &NoVocabulary,
        &[&similarities],
    );
    let parts = &parts[0];
    let score = |slot: &Slot| parts[*slot].map_or(0.0, |parts| parts.sum());
    let mut slots: Vec<Slot> = (0..texts.len()).collect();
    slots.sort_by(|a, b| score(b).total_cmp(&score(a)));
    slots
}

#[test]
fn every_language_is_found_by_its_own_words_whatever_is_set() {
    for (language, texts, question) in LANGUAGES {
        let set = [Stemming::default(), Stemming::parse("none").unwrap()];
        let own = Stemming::parse(language);
        for stemming in set.into_iter().chain(own) {
            let is_inflected = language == "english" && stemming == set[1];
            if !is_inflected {
                assert_eq!(
                    ranked(&texts, question, stemming)[0],
                    1,
                    "{language}, {stemming:?}"
                );
            }
            for (slot, text) in texts.iter().enumerate() {
                assert_eq!(
                    ranked(&texts, text, stemming)[0],
                    slot,
                    "{text}, {stemming:?}"
                );
            }
        }
    }
}

#[test]
fn composed_and_decomposed_letters_are_the_same() {
    for (language, texts, question) in LANGUAGES {
        let decomposed = texts.map(|text| text.nfd().collect::<String>());
        let decomposed: Vec<&str> = decomposed.iter().map(String::as_str).collect();
        let question = question.nfc().collect::<String>();
        assert_eq!(
            ranked(&decomposed, &question, Stemming::default())[0],
            1,
            "{language}"
        );
    }
}

#[test]
fn inflections_are_found_where_the_language_is_set() {
    for (language, texts, question) in [
        (
            "german",
            ["Die Wohnungen sind teuer", "Das Haus ist alt"],
            "Wohnung",
        ),
        (
            "french",
            ["Nous cherchons des appartements", "La maison est vieille"],
            "appartement cherché",
        ),
        (
            "russian",
            ["Мы купили две квартиры", "Дом очень старый"],
            "квартира",
        ),
    ] {
        let set = Stemming::parse(language).unwrap();
        assert_eq!(ranked(&texts, question, set)[0], 0, "{language}");
    }
}
