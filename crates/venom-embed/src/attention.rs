//! Attention within one text, in floats.

use crate::arithmetic::{Softmax, each_row};
use crate::float_matrix::{PANEL, PanelRow, Rows, multiply};
use pulp::Arch;

/// Queries that are answered at a time: their scores for 256 keys, 48 KiB, stay near.
const TILE_QUERIES: usize = 48;

/// Room for one head of one text.
#[derive(Default)]
pub(crate) struct Scratch {
    /// Panels of 32 keys, each `[head width, 32]`.
    keys: Vec<PanelRow>,
    /// Panels of 32 components of the values, each `[tokens, 32]`.
    values: Vec<PanelRow>,
    /// `[queries of a tile, tokens rounded up to whole panels]`.
    scores: Vec<f32>,
}

/// How the heads lie in a row of queries, keys and values, each `width` numbers.
#[derive(Clone, Copy)]
pub(crate) struct Heads {
    /// Components of a token's state, a multiple of the head's.
    pub(crate) width: usize,
    /// Components of a head, a multiple of 32.
    pub(crate) head_width: usize,
}

/// Attention of some tokens of a text to all of its tokens, every head, into `contexts`, `[queries,
/// width]`. `queries` has the rows of the former, `tokens` those of the latter one by one, `count` of them; a
/// row has queries (scaled already), keys and values side by side. 4 * width FLOP per pair of tokens.
pub(crate) fn attend<'a>(
    arch: Arch,
    heads: Heads,
    queries: &[f32],
    (count, tokens): (usize, &(impl Iterator<Item = &'a [f32]> + Clone)),
    contexts: &mut [f32],
    scratch: &mut Scratch,
) {
    let Heads { width, head_width } = heads;
    let row_width = 3 * width;
    let padded = count.next_multiple_of(PANEL);
    for head in (0..width).step_by(head_width) {
        scratch.load(heads, head, (count, tokens.clone()));
        let tiles = queries.chunks(TILE_QUERIES * row_width);
        for (queries, contexts) in tiles.zip(contexts.chunks_mut(TILE_QUERIES * width)) {
            let rows = queries.len() / row_width;
            let queries = Rows {
                values: &queries[head..],
                stride: row_width,
                count: rows,
            };
            scratch.scores.resize(rows * padded, 0.0);
            let scores = scratch.scores.as_mut_slice();
            for (panel, keys) in scratch.keys.chunks_exact(head_width).enumerate() {
                multiply(arch, queries, keys, &mut scores[panel * PANEL..], padded);
            }
            for scores in scores.chunks_exact_mut(padded) {
                scores[count..].fill(f32::NEG_INFINITY);
            }
            each_row(arch, scores, padded, &mut Softmax);
            let shares = Rows {
                values: scores,
                stride: padded,
                count: rows,
            };
            for (panel, values) in scratch.values.chunks_exact(count).enumerate() {
                let contexts = &mut contexts[head + panel * PANEL..];
                multiply(arch, shares, values, contexts, width);
            }
        }
    }
}

impl Scratch {
    /// Bytes that are kept.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let panels = PANEL * (self.keys.capacity() + self.values.capacity());
        4 * (panels + self.scores.capacity())
    }

    /// Lays out the keys and values of a head. Places of a last panel without a key have whatever was
    /// there; what comes of them is not used.
    fn load<'a>(
        &mut self,
        Heads { width, head_width }: Heads,
        head: usize,
        (count, tokens): (usize, impl Iterator<Item = &'a [f32]>),
    ) {
        let panels = count.div_ceil(PANEL);
        self.keys.resize(panels * head_width, [0.0; PANEL]);
        self.values.resize(count * head_width / PANEL, [0.0; PANEL]);
        for (at, row) in tokens.enumerate() {
            let key = &row[width + head..][..head_width];
            let panel = &mut self.keys[at / PANEL * head_width..][..head_width];
            for (column, component) in panel.iter_mut().zip(key) {
                column[at % PANEL] = *component;
            }
            let value = &row[2 * width + head..][..head_width];
            for (panel, value) in value.as_chunks::<PANEL>().0.iter().enumerate() {
                self.values[panel * count + at] = *value;
            }
        }
    }
}
