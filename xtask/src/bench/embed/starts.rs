//! From the start of a process to its first vector, the time that loading the model takes of it, and what an
//! idle server holds in memory: for each form in which the model may come.

use super::super::sample::Sample;
use super::super::{Outcome, build, build_bundled, step};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use venom_embed::{ModelFolder, PACKED_FILE};
use venom_testing::process::free_port;
use venom_testing::{Command, Folder, Server};

/// Starts of a process of each form.
const STARTS: usize = 21;
/// What the program logs when the model is loaded, in front of the milliseconds.
const LOADED: &str = "the model was loaded in ";

/// A form of the model, and how it is started.
struct Form {
    name: &'static str,
    binary: PathBuf,
    models: PathBuf,
    precision: &'static str,
}

/// Measures all forms by turns and prints a table.
pub(super) fn report(folder: &ModelFolder) -> Outcome<()> {
    let work = Folder::new();
    let forms = forms(folder, &work)?;
    step("starting");
    let mut times: Vec<(Vec<Duration>, Vec<Duration>)> = vec![Default::default(); forms.len()];
    // The first round makes the data folders and fills the cache of the file system.
    for round in 0..=STARTS {
        for (form, (starts, loads)) in forms.iter().zip(&mut times) {
            let (start, load) = once(form, &work.join(form.precision))?;
            if round > 0 {
                starts.push(start);
                loads.push(load);
            }
        }
    }
    println!(
        "\n| model | process start to first vector | loading of it | idle server |\n|---|---|---|---|"
    );
    for (form, (starts, loads)) in forms.iter().zip(times) {
        let data = Folder::new();
        let server = Server::start_with(command(form, data.path()), data.path(), free_port());
        let bytes = server.process.resident_bytes().unwrap_or_default();
        println!(
            "| {} | {} | {} | {:.0} MB |",
            form.name,
            Sample::new(starts),
            Sample::new(loads),
            bytes as f64 / 1e6
        );
    }
    Ok(())
}

fn forms(folder: &ModelFolder, work: &Folder) -> Outcome<Vec<Form>> {
    let packed = work.join("packed").join(&folder.model.name);
    fs::create_dir_all(&packed)?;
    fs::write(packed.join(PACKED_FILE), venom_embed::pack(folder)?)?;
    // Both builds have the same path.
    let keep = |built: PathBuf, name: &str| -> Outcome<PathBuf> {
        let kept = work.join(name);
        fs::copy(built, &kept)?;
        Ok(kept)
    };
    let bundled = keep(build_bundled(&packed.join(PACKED_FILE))?, "bundled")?;
    let plain = keep(build()?, "plain")?;
    let weights = folder.path.parent().map(Path::to_owned).unwrap_or_default();
    let form = |name, binary: &Path, models, precision| Form {
        name,
        binary: binary.to_owned(),
        models,
        precision,
    };
    Ok(vec![
        form("compiled in", &bundled, work.join("nothing"), "int8"),
        form("packed file", &plain, work.join("packed"), "int8"),
        form("weights, f32", &plain, weights, "f32"),
    ])
}

fn command(form: &Form, folder: &Path) -> Command {
    Command::new(&form.binary, folder)
        .env("VENOM_MODEL_DIR", &form.models)
        .env("VENOM_PRECISION", form.precision)
        .env("VENOM_LOG", "debug")
}

/// Start to first vector, and the loading in it.
fn once(form: &Form, folder: &Path) -> Outcome<(Duration, Duration)> {
    fs::create_dir_all(folder)?;
    let command = command(form, folder).args(["embed"]);
    let began = Instant::now();
    let mut process = command.spawn();
    let mut stdin = process.stdin.take().ok_or("stdin is piped")?;
    std::io::Write::write_all(&mut stdin, b"where are the keys?\n")?;
    drop(stdin);
    let vector = process.read_line();
    let took = began.elapsed();
    process.wait();
    let log = process.log();
    let loaded = log.split_once(LOADED).and_then(|(_, rest)| {
        let milliseconds: f64 = rest.split_whitespace().next()?.parse().ok()?;
        Some(Duration::from_secs_f64(milliseconds / 1e3))
    });
    match (vector, loaded) {
        (Some(_), Some(loaded)) => Ok((took, loaded)),
        _ => Err(format!("{} gave no vector: {log}", form.name).into()),
    }
}
