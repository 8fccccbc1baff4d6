//! Pretrained weights, those of runs included.

use tallow_export::Pretrained;
use tallow_run::RunDir;

use crate::Result;

/// Finds the weights that `spec` names ([`Pretrained::find`]). In the directory of a run the preprocessing is that of the run's
/// config: earlier versions wrote that of the architecture's default weights to `config.json`.
///
/// # Errors
/// The errors of [`Pretrained::find`]; a run whose config cannot be read.
pub fn find_pretrained(spec: &str) -> Result<Pretrained> {
    let mut found = Pretrained::find(spec)?;
    if let (Some(info), Some(folder)) = (&mut found.info, found.weights.parent())
        && let Ok(run) = RunDir::open(folder)
        && let Some(preprocessing) = run.sections()?.preprocessing()?
    {
        info.preprocessing = preprocessing;
    }
    Ok(found)
}
