//! Memories and questions of clients: short sentences, each with numbers of its own, so that none repeats
//! another.

use super::Random;

const WHO: [&str; 12] = [
    "Ana", "Bilal", "Chiara", "Dmitri", "Esi", "Farah", "Goran", "Hana", "Ivo", "Jun", "Kofi",
    "Lena",
];
const DOES: [&str; 10] = [
    "keeps",
    "borrowed",
    "repaired",
    "painted",
    "sold",
    "found",
    "is looking for",
    "wrapped",
    "carried",
    "described",
];
const WHAT: [&str; 12] = [
    "the blue tent",
    "a field guide to birds",
    "the cello",
    "a jar of plum jam",
    "the garden bench",
    "an old map",
    "the bread oven",
    "a box of letters",
    "the bicycle",
    "a chess set",
    "the telescope",
    "a woollen coat",
];
const WHERE: [&str; 12] = [
    "Porto", "Tallinn", "Accra", "Kyoto", "Bergen", "Lima", "Graz", "Tunis", "Oaxaca", "Galway",
    "Riga", "Cusco",
];

/// A sentence that no other client and no other number has.
pub(super) fn memory(random: &mut Random, client: usize, number: u64) -> String {
    format!(
        "{} {} {} in {}, shelf {client}, entry {number}",
        random.one_of(&WHO),
        random.one_of(&DOES),
        random.one_of(&WHAT),
        random.one_of(&WHERE)
    )
}

/// A question that some memories may answer.
pub(super) fn question(random: &mut Random) -> String {
    let (what, place) = (random.one_of(&WHAT), random.one_of(&WHERE));
    format!("who has {what} in {place}")
}
