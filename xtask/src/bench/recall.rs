//! `bench recall`: how often the right memory is found, on conversations with questions.
//!
//! Reads `corpus.jsonl` and `queries.jsonl` of a folder (`docs/retrieval.md` has the format), gives every
//! conversation to a system, asks every question and writes a run file: one line per question, `{"id", "ranked"}`.

pub(crate) mod baselines;
mod data;
pub(super) mod product;
mod scores;

use super::Outcome;
use super::sample::Sample;
use baselines::{Baseline, Kind};
use data::{Question, Turn, questions, turns, with_slip};
use product::Product;
use scores::Scores;
use serde_json::json;
use std::collections::HashSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use venom_core::Speaker;
use venom_core::test_support::samples::Rng;
use venom_embed::Precision;
use venom_store::IndexSizes;
use venom_testing::Folder;

/// An index as of a large space, for the few memories of a conversation.
const ARCHIVED: IndexSizes = IndexSizes {
    exact_memories_max: 200,
    block_memories: 64,
    segments_merged: 4,
    segment_memories_max: 262_144,
    segment_words_max: 8_000_000,
};

/// What to measure.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a word of the command line, apart from the others"
)]
pub(crate) struct Options {
    /// Folder of `corpus.jsonl` and `queries.jsonl`.
    pub(crate) data: PathBuf,
    /// Run file to write.
    pub(crate) out: Option<PathBuf>,
    /// What Venom is compared with; Venom itself if `None`.
    pub(crate) baseline: Option<Kind>,
    /// Numbers that the model is run with.
    pub(crate) precision: Precision,
    /// All conversations in one space.
    pub(crate) merge: bool,
    /// Memories without their session.
    pub(crate) without_sessions: bool,
    /// Every question with one slip of the hand.
    pub(crate) typos: bool,
    /// All but the newest memories in segments, as in a space of more than 20,000.
    pub(crate) archived: bool,
    /// Made-up memories that are stored in every space besides.
    pub(crate) fill: usize,
}

/// Something that answers questions.
trait System {
    fn ask(&self, question: &Question) -> Outcome<Asked>;
}

struct Asked {
    /// Conversation and id of what was found, best first.
    found: Vec<(String, String)>,
    time: Duration,
    embedding: Duration,
}

/// Stores, asks, writes the run file and prints the scores.
pub(crate) fn run(options: &Options) -> Outcome<()> {
    let turns = turns(&options.data, options.without_sessions)?;
    let mut questions = questions(&options.data)?;
    if options.typos {
        mistype(&mut questions, &turns);
    }
    super::step(&format!("storing {} memories", turns.len()));
    let folder = Folder::new();
    let system: Box<dyn System> = if let Some(kind) = options.baseline {
        Box::new(Baseline::new(
            kind,
            product::model_in(options.precision)?,
            options.merge,
            &turns,
        )?)
    } else {
        let sizes = if options.archived {
            ARCHIVED
        } else {
            IndexSizes::default()
        };
        let mut product = Product::open(folder.path(), options.merge, sizes, options.precision)?;
        product.store(&turns)?;
        product.fill(&turns, options.fill)?;
        product.settle()?;
        Box::new(product)
    };
    super::step(&format!("asking {} questions", questions.len()));
    let mut scores = [Scores::default(), Scores::default()];
    let mut lines = String::new();
    let (mut whole, mut beside) = (Vec::new(), Vec::new());
    for question in &questions {
        let asked = system.ask(question)?;
        whole.push(asked.time);
        beside.push(asked.time.saturating_sub(asked.embedding));
        // A memory of another conversation is nobody's answer.
        let id = |(store, id): &'_ (String, String)| {
            if *store == question.store {
                id.clone()
            } else {
                "another".to_owned()
            }
        };
        let ranked: Vec<String> = asked.found.iter().map(id).collect();
        let ranked: Vec<&str> = ranked.iter().map(String::as_str).collect();
        writeln!(lines, "{}", json!({"id": question.id, "ranked": ranked}))?;
        scores[1].add(&ranked, &question.relevant);
        if question.answerable {
            scores[0].add(&ranked, &question.relevant);
        }
    }
    if let Some(out) = &options.out {
        std::fs::write(out, lines)?;
    }
    println!("questions        n   R@1   R@5  R@10  R@20  nDCG@10   MRR");
    for (name, scores) in ["answerable", "all"].iter().zip(&scores) {
        println!("{name:<12} {scores}");
    }
    let (whole, beside) = (Sample::new(whole), Sample::new(beside));
    println!("a question takes {whole}, of that beside its embedding {beside}");
    Ok(())
}

/// Gives every question one slip of the hand, the same in every run.
fn mistype(questions: &mut [Question], turns: &[Turn]) {
    let names = turns.iter().filter_map(|turn| turn.origin.speaker.as_ref());
    let names: HashSet<String> = names.map(Speaker::key).collect();
    let mut rng = Rng::new(1);
    for question in questions {
        question.text = with_slip(&question.text, &names, &mut rng);
    }
}
