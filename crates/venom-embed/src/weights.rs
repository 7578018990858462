//! Reads a model's files once, checking size and SHA-256 on the way.
//!
//! Weights go from the file in blocks: a block is turned into floats here while a second thread
//! hashes it. So no second copy of the 91 MB ever exists, and nothing unchecked leaves this module.

use crate::bytes::Bytes;
use crate::model_files::{KnownFile, VOCABULARY_FILE, WEIGHTS_FILE, damaged};
use crate::packed;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use venom_core::EmbedError;

/// Bytes read, converted and hashed at a time; a multiple of 4.
const BLOCK_BYTES: usize = 1 << 20;
/// Blocks that may wait for the hashing thread.
const BLOCKS_WAITING_MAX: usize = 8;
/// Bytes of a packed model read and checked at a time: they fit the second-level cache.
const CHECKED_BYTES: usize = 256 << 10;
/// Longest vocabulary, in bytes. Those of BERT have about 230,000.
const VOCABULARY_BYTES_MAX: u64 = 16 << 20;
/// Longest header of a weights file, in bytes. Those of BERT have 10,000 to 30,000.
const HEADER_BYTES_MAX: u64 = 1 << 20;

/// Tensors by name, each row-major as in the file.
pub(crate) type Weights = HashMap<String, Vec<f32>>;

/// Reads the f32 tensors of a safetensors file, and its SHA-256 in 64 lower-case hex digits.
///
/// # Errors
/// [`EmbedError::ModelDamaged`] if the content is not the expected one, [`EmbedError::ModelNotFound`]
/// if it cannot be read.
pub(crate) fn read_weights(
    folder: &Path,
    known: Option<&KnownFile>,
) -> Result<(Weights, String), EmbedError> {
    let file = WEIGHTS_FILE;
    let mut input = open(folder, file)?;
    let metadata = input.metadata();
    let bytes = metadata
        .map_err(|error| unreadable(folder, file, &error))?
        .len();
    let (blocks, incoming) = sync_channel::<Vec<u8>>(BLOCKS_WAITING_MAX);
    let (parsed, sha256) = thread::scope(|scope| {
        let hasher = scope.spawn(move || {
            let mut hash = Sha256::new();
            for block in incoming {
                hash.update(block);
            }
            hex(&hash.finalize())
        });
        let mut tee = Tee {
            input: &mut input,
            blocks,
        };
        let parsed = parse(&mut tee, bytes);
        let rest = tee.drain();
        drop(tee);
        (
            parsed.and_then(|weights| rest.map(|()| weights)),
            hasher.join(),
        )
    });
    let sha256 = sha256.map_err(|_| EmbedError::Inference("the hashing thread died".into()))?;
    if let Some(file) = known.filter(|file| file.sha256 != sha256) {
        return Err(damaged(folder, file, &format!("sha256 {sha256}")));
    }
    let weights = parsed.map_err(|error| unreadable(folder, file, &error))?;
    Ok((weights, sha256))
}

/// Reads a vocabulary.
///
/// # Errors
/// As [`read_weights`].
pub(crate) fn read_vocabulary(
    folder: &Path,
    known: Option<&KnownFile>,
) -> Result<String, EmbedError> {
    let file = VOCABULARY_FILE;
    let mut bytes = Vec::new();
    open(folder, file)?
        .take(known.map_or(VOCABULARY_BYTES_MAX, |file| file.bytes) + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(folder, file, &error))?;
    let sha256 = hex(&Sha256::digest(&bytes));
    if let Some(file) = known.filter(|file| file.sha256 != sha256) {
        let found = format!("{} bytes with sha256 {sha256}", bytes.len());
        return Err(damaged(folder, file, &found));
    }
    String::from_utf8(bytes).map_err(|error| unreadable(folder, file, &io::Error::other(error)))
}

fn open(folder: &Path, file: &str) -> Result<File, EmbedError> {
    File::open(folder.join(file)).map_err(|error| unreadable(folder, file, &error))
}

fn unreadable(folder: &Path, file: &str, error: &io::Error) -> EmbedError {
    let path = folder.join(file);
    EmbedError::ModelNotFound(format!(
        "the model file {} cannot be read: {error}",
        path.display()
    ))
}

/// Hands out a file block by block, and each block to the hashing thread too.
struct Tee<'a> {
    input: &'a mut File,
    blocks: SyncSender<Vec<u8>>,
}

impl Tee<'_> {
    /// Reads exactly `bytes` bytes, at most [`BLOCK_BYTES`], and shows them to `use_block`.
    fn read(&mut self, bytes: usize, use_block: impl FnOnce(&[u8])) -> io::Result<()> {
        let mut block = vec![0; bytes];
        self.input.read_exact(&mut block)?;
        use_block(&block);
        self.blocks
            .send(block)
            .map_err(|_| io::Error::other("the hashing thread died"))
    }

    /// Hashes what is left of the file, whatever it is.
    fn drain(&mut self) -> io::Result<()> {
        loop {
            let mut block = Vec::new();
            self.input
                .take(BLOCK_BYTES as u64)
                .read_to_end(&mut block)?;
            if block.is_empty() {
                return Ok(());
            }
            self.blocks
                .send(block)
                .map_err(|_| io::Error::other("the hashing thread died"))?;
        }
    }
}

/// Reads a file of `file_bytes` bytes: header length (8 bytes), header (JSON), tensors one behind the
/// other, little-endian.
fn parse(tee: &mut Tee<'_>, file_bytes: u64) -> io::Result<Weights> {
    let mut length = [0; 8];
    tee.read(8, |block| length.copy_from_slice(block))?;
    let length = u64::from_le_bytes(length);
    if length > HEADER_BYTES_MAX {
        return Err(io::Error::other("its header is too long"));
    }
    let mut header = None;
    tee.read(
        usize::try_from(length).map_err(io::Error::other)?,
        |block| {
            header = Some(serde_json::from_slice::<Metadata>(block));
        },
    )?;
    let header = header.ok_or_else(|| io::Error::other("it has no header"))?;
    let header = header.map_err(io::Error::other)?;
    if u64::try_from(header.data_len()).ok() != file_bytes.checked_sub(8 + length) {
        return Err(io::Error::other("its header is for another length"));
    }

    let mut weights = Weights::new();
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else {
            continue;
        };
        let bytes = info.data_offsets.1 - info.data_offsets.0;
        let mut floats = Vec::new();
        let wanted = info.dtype == Dtype::F32;
        if wanted {
            floats.reserve_exact(bytes / 4);
        }
        let mut left = bytes;
        while left > 0 {
            let size = left.min(BLOCK_BYTES);
            tee.read(size, |block| {
                if wanted {
                    floats.extend(
                        block
                            .as_chunks()
                            .0
                            .iter()
                            .map(|four| f32::from_le_bytes(*four)),
                    );
                }
            })?;
            left -= size;
        }
        if wanted {
            weights.insert(name, floats);
        }
    }
    Ok(weights)
}

/// Reads a packed model and checks it, block by block while each is in the cache.
///
/// # Errors
/// [`EmbedError::ModelNotFound`] if it cannot be read, [`EmbedError::ModelDamaged`] if it has not the checksum
/// in its header, or is far too long.
pub(crate) fn read_packed(path: &Path) -> Result<Bytes, EmbedError> {
    let unreadable = |error: io::Error| {
        EmbedError::ModelNotFound(format!(
            "the model file {} cannot be read: {error}",
            path.display()
        ))
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let bytes = file.metadata().map_err(unreadable)?.len();
    let count = usize::try_from(bytes)
        .ok()
        .filter(|_| bytes <= packed::BYTES_MAX)
        .ok_or_else(|| packed_damaged(path, &format!("{bytes} bytes")))?;
    let mut checksum = packed::Checksum::default();
    let read = |room: &mut [u8]| {
        for block in room.chunks_mut(CHECKED_BYTES) {
            file.read_exact(block)?;
            checksum.update(block);
        }
        Ok(())
    };
    let packed = Bytes::filled(count, read).map_err(unreadable)?;
    let whole = packed::check_version(packed.as_slice()).and_then(|()| checksum.compare());
    whole.map_err(|found| packed_damaged(path, &found))?;
    Ok(packed)
}

/// A packed model that is not the expected one.
pub(crate) fn packed_damaged(path: &Path, found: &str) -> EmbedError {
    EmbedError::ModelDamaged(format!(
        "the packed model {} is damaged, or of another model or version: found {found}; delete it, or make it \
         again with `venom model pack`",
        path.display()
    ))
}

/// A digest as 64 lower-case hex digits.
pub(crate) fn hex(digest: &[u8]) -> String {
    digest
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            // Writing into a `String` cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use venom_fuzz::Target;

    #[test]
    fn fuzz_weights() {
        let folder = std::env::temp_dir().join(format!("venom-weights-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = |header: &str, bytes: usize| {
            let length = (header.len() as u64).to_le_bytes();
            [&length[..], header.as_bytes(), &vec![1; bytes]].concat()
        };
        let two = r#"{"a":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},
            "b":{"dtype":"F16","shape":[2],"data_offsets":[24,28]},"__metadata__":{"k":"v"}}"#;
        let words = [
            "F32",
            "BF16",
            "I64",
            "data_offsets",
            "shape",
            "[0,24]",
            "[24,0]",
            "dtype",
        ];
        let target = Target::new("weights").words(&words).memory_max(1 << 30);
        target.seed(file(two, 28)).seed(file("{}", 0)).run(|bytes| {
            std::fs::write(folder.join(WEIGHTS_FILE), bytes).unwrap();
            let (weights, sha256) = read_weights(&folder, None).ok()?;
            assert_eq!(sha256, hex(&Sha256::digest(bytes)));
            let floats: usize = weights.values().map(Vec::len).sum();
            assert!(4 * floats <= bytes.len());
            Some((weights.len(), floats))
        });
        let _ = std::fs::remove_dir_all(folder);
    }
}
