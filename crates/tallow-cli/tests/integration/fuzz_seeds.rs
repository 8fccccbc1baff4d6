//! The fuzz targets on the inputs that fuzzing starts from and those that it found (fuzz/seeds): no panic, no hanging.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

#[path = "../../../../fuzz/src/lib.rs"]
mod targets;

#[test]
fn every_reader_takes_the_inputs_of_its_fuzz_target() -> Result<()> {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    for (name, _) in targets::TARGETS {
        let folder = seeds.join(name);
        let mut inputs = 0;
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            let data = std::fs::read(&path)?;
            let began = Instant::now();
            targets::run(name, &data);
            // Cut off and changed, as a damaged disk or network leaves it.
            targets::run(name, &data[..data.len() / 2]);
            for at in (0..data.len()).step_by(data.len().div_ceil(8).max(1)) {
                let mut changed = data.clone();
                changed[at] ^= 0x55;
                targets::run(name, &changed);
            }
            ensure!(began.elapsed() < Duration::from_secs(60), "{}: {:?}", path.display(), began.elapsed());
            inputs += 1;
        }
        ensure!(inputs > 0, "{}: no inputs", folder.display());
    }
    Ok(())
}
