//! `tallow models`: lists the architectures.

use anyhow::Result;
use candle_core::Device;

#[derive(clap::Args)]
pub struct Args {
    /// List only names that contain this text
    filter: Option<String>,
    /// Print comma-separated values with exact numbers
    #[arg(long)]
    csv: bool,
}

pub fn run(args: Args) -> Result<()> {
    let filter = args.filter.unwrap_or_default();
    let presets: Vec<_> = tallow_models::list().iter().filter(|preset| preset.name.contains(&filter)).collect();
    anyhow::ensure!(!presets.is_empty(), "no architecture's name contains `{filter}`; without a filter all are listed");
    if args.csv {
        println!("name,family,in_chans,height,width,parameters,macs");
    } else {
        println!("{:<32} {:<23} {:>11} {:>9} {:>12}", "name", "family", "parameters", "MACs", "input");
    }
    for preset in presets {
        let built = tallow_models::build_zeroed(preset.name, &preset.config(), &Device::Cpu)?;
        let (parameters, macs) = (built.store.parameter_count(), built.macs()?);
        let (name, family, channels, (h, w)) = (preset.name, preset.family, preset.in_chans, preset.input_size);
        if args.csv {
            println!("{name},{family},{channels},{h},{w},{parameters},{macs}");
            continue;
        }
        let input = format!("{channels}×{h}×{w}");
        println!(
            "{:<32} {:<23} {:>9.2} M {:>7.2} G {input:>12}",
            name,
            family,
            parameters as f64 / 1e6,
            macs as f64 / 1e9,
        );
    }
    Ok(())
}
