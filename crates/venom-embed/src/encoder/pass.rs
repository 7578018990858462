//! One pass: rows divided among threads, layer by layer, in room that is kept for the next pass.

use super::{Encoder, layer};
use crate::attention::{self, Heads, attend};
use crate::kernels::BLOCK_ROWS;
use crate::meeting::Meeting;
use crate::shape::Pooling;
use std::ops::Range;
use std::sync::{Mutex, PoisonError, RwLock};
use std::thread;

/// Rows that are taken through a layer together at most: between its products they stay in the
/// second-level cache.
const TILE_ROWS: usize = 48;
/// Rows that are worth a thread.
const THREAD_ROWS_MIN: usize = 16;
/// Threads of a pass at most.
const THREADS_MAX: usize = 16;

/// Queries, keys and values of a thread's rows, `[rows, 3 * width]`: of this layer and of the one
/// before, which slower threads may still read. A thread that is alone needs one only.
type Looks = [RwLock<Vec<f32>>; 2];

/// Room that no pass uses at the moment: as much as the most threads at the same time needed.
#[derive(Default)]
pub(super) struct Workspaces(Mutex<Vec<Workspace>>);

/// What one thread of a pass works in.
#[derive(Default)]
struct Workspace {
    looks: Looks,
    room: Room,
}

/// The part of it that no other thread looks at.
#[derive(Default)]
struct Room {
    /// `[own rows, width]`.
    states: Vec<f32>,
    /// `[own rows, width]`.
    contexts: Vec<f32>,
    attention: attention::Scratch,
    layer: layer::Scratch,
}

/// What the threads of a pass share.
struct Team<'a> {
    texts: &'a [&'a [u32]],
    rows: usize,
    /// Rows of every thread but the last, which has the rest.
    rows_each: usize,
    looks: Vec<&'a Looks>,
    /// All meet once per layer: then the looks of every row are there.
    meeting: Meeting,
}

impl Encoder {
    /// As [`Encoder::forward`], for texts that are in order.
    pub(super) fn pass(&self, texts: &[&[u32]], threads: usize) -> Result<Vec<Vec<f32>>, String> {
        let rows: usize = texts.iter().map(|ids| ids.len()).sum();
        let threads = (rows / THREAD_ROWS_MIN).clamp(1, threads.clamp(1, THREADS_MAX));
        let mut workspaces = self.workspaces.take(threads);
        let (looks, mut rooms): (Vec<_>, Vec<_>) = workspaces
            .iter_mut()
            .map(|workspace| (&workspace.looks, &mut workspace.room))
            .unzip();
        let team = Team {
            texts,
            rows,
            rows_each: rows.div_ceil(threads),
            looks,
            meeting: Meeting::of(threads),
        };
        let done = match rooms.as_mut_slice() {
            [room] => {
                self.run(&team, 0, room);
                Ok(())
            }
            rooms => self.run_together(&team, rooms),
        };
        let means = done.map(|()| self.means(&team, &rooms));
        self.workspaces.give_back(workspaces);
        means
    }

    fn run_together(&self, team: &Team<'_>, rooms: &mut [&mut Room]) -> Result<(), String> {
        let Some((own, others)) = rooms.split_first_mut() else {
            return Ok(());
        };
        thread::scope(|scope| {
            for (index, room) in others.iter_mut().enumerate() {
                let builder = thread::Builder::new().name("venom-embed".to_owned());
                let started = builder.spawn_scoped(scope, move || self.run(team, index + 1, room));
                if let Err(error) = started {
                    team.meeting.call_off();
                    return Err(format!("no thread: {error}"));
                }
            }
            self.run(team, 0, own);
            Ok(())
        })
    }

    /// The part of one thread, from token ids to the states behind the last layer. Ends early if the
    /// others gave up.
    fn run(&self, team: &Team<'_>, index: usize, room: &mut Room) {
        let _seat = team.meeting.seat();
        let (kernel, width) = (self.kernel, self.shape.width);
        let own = team.rows_of(index);
        room.states.resize(own.len() * width, 0.0);
        room.contexts.resize(own.len() * width, 0.0);
        self.look_up(team, &own, &mut room.states);
        self.weights.norm.apply(kernel, &mut room.states);
        let tile = tile_rows(own.len());
        for (number, layer) in self.weights.layers.iter().enumerate() {
            {
                let looks = &team.looks[index][team.side(number)];
                let mut looks = looks.write().unwrap_or_else(PoisonError::into_inner);
                looks.resize(own.len() * 3 * width, 0.0);
                let tiles = room.states.chunks(tile * width);
                for (states, looks) in tiles.zip(looks.chunks_mut(tile * 3 * width)) {
                    layer.look(kernel, states, looks, &mut room.layer);
                }
            }
            if !team.meeting.wait() {
                return;
            }
            self.attend(team, number, index, room);
            let tiles = room.contexts.chunks(tile * width);
            for (contexts, states) in tiles.zip(room.states.chunks_mut(tile * width)) {
                layer.conclude(kernel, contexts, states, &mut room.layer);
            }
        }
    }

    /// The sum of word, position and type for each of a thread's tokens.
    fn look_up(&self, team: &Team<'_>, own: &Range<usize>, states: &mut [f32]) {
        let width = self.shape.width;
        for (text, span, part) in team.parts(own) {
            let positions = &self.weights.position_rows[(part.start - span.start) * width..];
            let ids = &text[part.start - span.start..part.end - span.start];
            let states = &mut states[(part.start - own.start) * width..];
            let rows = states
                .chunks_exact_mut(width)
                .zip(positions.chunks_exact(width));
            for (id, (state, position)) in ids.iter().zip(rows) {
                state.copy_from_slice(position);
                self.weights.words.add_row(*id, state);
            }
        }
    }

    /// Attention of a thread's tokens, text by text.
    fn attend(&self, team: &Team<'_>, layer: usize, index: usize, room: &mut Room) {
        let width = self.shape.width;
        let heads = Heads {
            width,
            head_width: self.shape.head_width(),
        };
        let looks: [_; THREADS_MAX] = std::array::from_fn(|thread| {
            let looks = team.looks.get(thread)?;
            Some(
                looks[team.side(layer)]
                    .read()
                    .unwrap_or_else(PoisonError::into_inner),
            )
        });
        let own = team.rows_of(index);
        let own_looks = looks[index].as_ref().expect("a thread has looks");
        for (_, span, part) in team.parts(&own) {
            let (first, last) = (part.start - own.start, part.end - own.start);
            // Thread by thread: a division per row and head would count.
            let tokens = looks
                .iter()
                .flatten()
                .enumerate()
                .flat_map(|(thread, looks)| {
                    let theirs = team.rows_of(thread);
                    let at = |row: usize| {
                        (row.clamp(theirs.start, theirs.end) - theirs.start) * 3 * width
                    };
                    looks[at(span.start)..at(span.end)].chunks_exact(3 * width)
                });
            attend(
                self.kernel.floats(),
                heads,
                &own_looks[first * 3 * width..last * 3 * width],
                (span.len(), &tokens),
                &mut room.contexts[first * width..last * width],
                &mut room.attention,
            );
        }
    }

    /// The mean of the states of each text.
    fn means(&self, team: &Team<'_>, rooms: &[&mut Room]) -> Vec<Vec<f32>> {
        let width = self.shape.width;
        let states = |row: usize| {
            let at = row % team.rows_each * width;
            &rooms[row / team.rows_each].states[at..at + width]
        };
        let mean = |(_, mut span, _): (_, Range<usize>, _)| {
            if self.pooling == Pooling::FirstToken {
                span.end = span.start + 1;
            }
            let mut mean = vec![0.0; width];
            for row in span.clone() {
                mean.iter_mut().zip(states(row)).for_each(|(x, y)| *x += y);
            }
            let scale = 1.0 / span.len() as f32;
            for x in &mut mean {
                *x *= scale;
            }
            mean
        };
        team.parts(&(0..team.rows)).map(mean).collect()
    }
}

/// Rows of a tile where there are so many in all: nearly as many in each, in whole blocks of a product.
fn tile_rows(rows: usize) -> usize {
    let tiles = rows.div_ceil(TILE_ROWS).max(1);
    rows.div_ceil(tiles).max(1).next_multiple_of(BLOCK_ROWS)
}

impl Team<'_> {
    /// Which of its looks a thread fills in a layer.
    fn side(&self, layer: usize) -> usize {
        layer % self.looks.len().min(2)
    }

    /// The rows of a thread.
    fn rows_of(&self, index: usize) -> Range<usize> {
        let first = index * self.rows_each;
        first.min(self.rows)..(first + self.rows_each).min(self.rows)
    }

    /// The texts that have tokens in `own`: the text, its rows, those in `own`.
    fn parts(
        &self,
        own: &Range<usize>,
    ) -> impl Iterator<Item = (&[u32], Range<usize>, Range<usize>)> {
        let own = own.clone();
        let mut next = 0;
        let spans = self.texts.iter().map(move |text| {
            let span = next..next + text.len();
            next = span.end;
            (*text, span)
        });
        spans.filter_map(move |(text, span)| {
            let part = span.start.max(own.start)..span.end.min(own.end);
            (!part.is_empty()).then_some((text, span, part))
        })
    }
}

impl Workspaces {
    fn take(&self, count: usize) -> Vec<Workspace> {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<Workspace> = Vec::with_capacity(count);
        // In order, so that a thread finds the room that it had.
        let from = idle.len().saturating_sub(count);
        taken.extend(idle.drain(from..));
        taken.resize_with(count, Workspace::default);
        taken
    }

    /// Bytes of all room that is kept.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        let idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = |looks: &Looks| -> usize {
            let capacity = |look: &RwLock<Vec<f32>>| {
                let look = look.read().unwrap_or_else(PoisonError::into_inner);
                4 * look.capacity()
            };
            looks.iter().map(capacity).sum()
        };
        let bytes = |workspace: &Workspace| {
            let room = &workspace.room;
            let own = 4 * (room.states.capacity() + room.contexts.capacity());
            looks(&workspace.looks) + own + room.attention.bytes() + room.layer.bytes()
        };
        idle.iter().map(bytes).sum()
    }

    fn give_back(&self, workspaces: Vec<Workspace>) {
        let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(workspaces);
    }
}
