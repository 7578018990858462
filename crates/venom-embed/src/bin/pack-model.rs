//! Packs a model: `pack-model FOLDER FILE`. For builds that have it inside, which need it before there is a
//! `venom model pack`.

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, file] = words.as_slice() else {
        return Err("expected the model's folder and the file to write".into());
    };
    let packed = venom_embed::pack(&venom_embed::locate(folder, &[])?)?;
    std::fs::write(PathBuf::from(file), packed)?;
    Ok(())
}
