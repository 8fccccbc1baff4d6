//! The loop trains a model that is not in the registry.

use std::sync::atomic::AtomicBool;

use crate::common::{GO, config, images};
use candle_core::{Device, Tensor};
use tallow_data::Splits;
use tallow_models::Model;
use tallow_nn::{Init, Mode, ParamStore};
use tallow_optim::loss::LossContext;
use tallow_run::RunDir;
use tallow_train::{FitReport, Network, Result, Split, Training, fit, resolve, train_loader};

/// A network of two linear layers.
struct TwoLayers {
    hidden: Tensor,
    head: Tensor,
}

impl Model for TwoLayers {
    fn forward_features(&self, images: &Tensor, _: &Mode) -> tallow_nn::Result<Tensor> {
        Ok(images.flatten_from(1)?.matmul(&self.hidden)?.relu()?)
    }

    fn forward_head(&self, features: &Tensor, _: &Mode) -> tallow_nn::Result<Tensor> {
        Ok(features.matmul(&self.head)?)
    }
}

fn build() -> tallow_nn::Result<(TwoLayers, ParamStore)> {
    ParamStore::build(0, &Device::Cpu, |b| {
        Ok(TwoLayers {
            hidden: b.pp("hidden").param("weight", &[28 * 28, 16], Init::Normal(0.05))?,
            head: b.pp("head").param("weight", &[16, 10], Init::Normal(0.1))?,
        })
    })
}

fn train(settings: &[&str], dir: &RunDir, stop: &AtomicBool) -> Result<(FitReport, ParamStore)> {
    let splits = Splits { train: images(32), validation: None, test: None, ignored_files: 0, stream: None };
    let common = ["augment.train=[]", "augment.eval=[]", "schedule.name=constant", "optim.name=adam", "optim.lr=0.01"];
    let resolved = resolve(config(&[&common, settings].concat()), &splits)?;
    let loader = train_loader(&resolved, &splits)?;
    let (model, store) = build()?;
    let network = Network { name: "two layers", model: &model, store: &store, classifier: Some("head") };
    let config = &resolved.config;
    let report = fit(Training {
        config,
        dir,
        network,
        loss: config.loss.build(&LossContext::default())?.as_ref(),
        optimizer: config.optim.build(&store, network.classifier).as_mut(),
        train: Split { name: "train", loader: &loader },
        eval: None,
        eval_chooses: false,
        picture: None,
        stop,
        quiet: true,
        after_epoch: None,
    })?;
    Ok((report, store))
}

fn state(store: &ParamStore) -> Vec<Vec<f32>> {
    let values = |(_, tensor): (String, Tensor)| tensor.flatten_all().and_then(|t| t.to_vec1()).expect("values");
    store.state_dict().into_iter().map(values).collect()
}

#[test]
fn a_model_of_your_own_learns_resumes_and_is_frozen_by_its_classifiers_name() -> Result<()> {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = |name: &str| RunDir::create(folder.path().join(name), "", &[]);
    let (report, trained) = train(&["train.epochs=30"], &dir("whole")?, &GO)?;
    assert!(report.train_top1 > 0.9, "{report:?}");

    let parts = dir("parts")?;
    train(&["train.epochs=10"], &parts, &GO)?;
    let (_, resumed) = train(&["train.epochs=30"], &parts, &GO)?;
    assert_eq!(state(&resumed), state(&trained));

    let (_, initial) = build()?;
    let (_, probed) = train(&["train.epochs=2", "transfer.freeze=[\"backbone\"]"], &dir("probe")?, &GO)?;
    assert_eq!(state(&probed)[0], state(&initial)[0]);
    assert_ne!(state(&probed)[1], state(&initial)[1]);
    Ok(())
}
