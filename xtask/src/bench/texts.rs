//! Memories of a made-up person and questions about them, the same in every run.

const PEOPLE: [&str; 10] = [
    "Ana", "Bilal", "Chiara", "Dmitri", "Esi", "Farah", "Goran", "Hana", "Ivo", "Jun",
];
const PLACES: [&str; 10] = [
    "Porto", "Tallinn", "Accra", "Kyoto", "Bergen", "Lima", "Graz", "Tunis", "Oaxaca", "Galway",
];
/// What is remembered, and how it is asked for later.
const TOPICS: [(&str, &str); 10] = [
    (
        "{person} moved to {place} last spring and works in a small bakery there now",
        "who bakes bread in {place}, is it {person}",
    ),
    (
        "The workshop that {person} gives in {place} was put off until the second week of November",
        "when is {person}'s course in {place}",
    ),
    (
        "{person} cannot stand coriander; in {place} we had to send the soup back because of it",
        "which herb does {person} hate, after {place}",
    ),
    (
        "We decided to write the {place} project in Rust, and {person} reviews every change",
        "programming language of the {place} project with {person}",
    ),
    (
        "{person} lent me a field guide to birds on the way to {place}, it has to go back by June",
        "book I borrowed from {person} for {place}",
    ),
    (
        "The landlord in {place} is called {person}, and the rent is due on the third of each month",
        "when do I pay {person} for the flat in {place}",
    ),
    (
        "{person} plays the cello in the {place} chamber orchestra on Thursday evenings",
        "{person}'s musical instrument in {place}",
    ),
    (
        "My flight to {place} leaves early; {person} drives me to the airport at five in the morning",
        "who brings me to the plane to {place}, {person}?",
    ),
    (
        "{person} is allergic to penicillin, the clinic in {place} has it in the file",
        "medicine that {person} must not take, {place} clinic",
    ),
    (
        "For her birthday {person} wants the blue tent that we saw in the shop in {place}",
        "present for {person}, seen in {place}",
    ),
];

/// Fills person and place of a number below 1,000 in; each number has another combination.
fn fill(template: &str, number: usize) -> String {
    let person = PEOPLE[number / 10 % PEOPLE.len()];
    let place = PLACES[number / 100 % PLACES.len()];
    template
        .replace("{person}", person)
        .replace("{place}", place)
}

/// The memory of a number below 1,000.
pub(crate) fn memory(number: usize) -> String {
    fill(TOPICS[number % TOPICS.len()].0, number)
}

/// A question that the memory of the same number answers.
pub(crate) fn question(number: usize) -> String {
    fill(TOPICS[number % TOPICS.len()].1, number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_number_has_a_memory_and_a_question_of_its_own() {
        let memories: BTreeSet<String> = (0..1_000).map(memory).collect();
        let questions: BTreeSet<String> = (0..1_000).map(question).collect();
        assert_eq!((memories.len(), questions.len()), (1_000, 1_000));
        assert!(memories.iter().all(|text| !text.contains('{')));
    }
}
