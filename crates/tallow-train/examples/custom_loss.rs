//! A loss of your own, in a crate of your own: written with Candle's operations, or with an explicit gradient.
//!
//!     cargo run --release -p tallow-train --example custom_loss

use std::sync::atomic::AtomicBool;

use candle_core::Tensor;
use tallow_optim::loss::{Loss, Targets, with_gradient};
use tallow_train::{Setting, Split, Training, eval_loader, fit, load, setup, train_loader};

/// The mean squared error of the logits (Brier's score without the softmax), in Candle's operations: the tape
/// differentiates those too.
struct MeanSquaredError;

impl Loss for MeanSquaredError {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> tallow_optim::Result<Tensor> {
        let (n, k) = logits.dims2()?;
        let rows = Tensor::from_vec(targets.rows(n, k)?, (n, k), logits.device())?;
        Ok((logits - rows)?.sqr()?.mean_all()?)
    }
}

/// The multi-class hinge, `mean Σ max(0, 1 + z_c − z_label) / k`, with its gradient computed beside it.
struct Hinge;

impl Loss for Hinge {
    fn loss(&self, logits: &Tensor, targets: Targets<'_>) -> tallow_optim::Result<Tensor> {
        let (n, k) = logits.dims2()?;
        targets.rows(n, k)?; // refuses labels that do not fit
        let z = logits.detach().to_vec2::<f32>()?;
        let share = 1.0 / (n * k) as f32;
        let (mut loss, mut gradient) = (0.0, vec![0f32; n * k]);
        for (i, (z, &label)) in z.iter().zip(targets.labels).enumerate() {
            let label = label as usize;
            for c in (0..k).filter(|c| *c != label) {
                let violation = 1.0 + z[c] - z[label];
                if violation > 0.0 {
                    loss += f64::from(share * violation);
                    gradient[i * k + c] += share;
                    gradient[i * k + label] -= share;
                }
            }
        }
        with_gradient(logits, loss, gradient)
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let losses: [(&str, &dyn Loss); 2] = [("mean squared error", &MeanSquaredError), ("hinge", &Hinge)];
    for (name, loss) in losses {
        let settings =
            ["train.epochs=2", "optim.lr=0.05"].map(Setting::parse).into_iter().collect::<Result<Vec<_>, _>>()?;
        let config = load("default", &settings)?;
        let setup = setup(config, None)?;
        let folder = tempfile::tempdir()?;
        let dir = setup.create_dir(folder.path().join("run"))?;
        let train = train_loader(&setup.resolved, &setup.splits)?;
        let test = setup.splits.test.clone().map(|dataset| eval_loader(&setup.resolved, dataset)).transpose()?;
        let report = fit(Training {
            config: setup.config(),
            dir: &dir,
            network: setup.network(),
            loss,
            optimizer: setup.optimizer().as_mut(),
            train: Split { name: "train", loader: &train },
            eval: test.as_ref().map(|loader| Split { name: "test", loader }),
            eval_chooses: false,
            changes: &[],
            picture: None,
            stop: &AtomicBool::new(false),
            quiet: true,
            after_epoch: None,
        })?;
        let top1 = report.evaluation.map_or(f64::NAN, |(_, evaluation)| 100.0 * evaluation.top1);
        println!("{name}: training loss {:.4}, test accuracy {top1:.1} %", report.train_loss);
    }
    Ok(())
}
