//! Zip archives as other programs make them.

use std::io::{Cursor, Write as _};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// A zip archive of these entries: names and contents.
///
/// # Panics
/// If a name cannot be one.
pub fn zipped(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in entries {
        let began = writer.start_file(*name, SimpleFileOptions::default());
        began.expect("the name fits");
        writer.write_all(bytes).expect("there is memory");
    }
    writer.finish().expect("there is memory").into_inner()
}
