//! Layers: training against evaluation, running statistics, dropout's share, and what each refuses.

use crate::common::{flat, random};
use candle_core::{DType, Device, Tensor};
use tallow_nn::layers::{
    Activation, BatchNorm2d, BatchNormOptions, Conv2d, Conv2dOptions, DropPath, Dropout, LayerNorm, Linear,
};
use tallow_nn::op::{PoolConfig, avg_pool2d, cross_entropy, global_avg_pool, linear, max_pool2d, softmax};
use tallow_nn::{Builder, Error, Init, Mode, ParamStore, Result};

fn build<L>(make: impl FnOnce(&Builder) -> Result<L>) -> Result<(L, ParamStore)> {
    ParamStore::build(1, &Device::Cpu, make)
}

#[test]
fn layers_name_their_parameters_as_pytorch_does() -> Result<()> {
    let (_, store) = build(|b| {
        let options = Conv2dOptions { bias: true, ..Default::default() };
        Conv2d::new(3, 4, 3, options, &b.pp("conv"))?;
        BatchNorm2d::new(4, Default::default(), &b.pp("bn"))?;
        LayerNorm::new(4, 1e-6, &b.pp("norm"))?;
        Linear::new(4, 2, true, Init::ZEROS, &b.pp("fc"))
    })?;
    let names: Vec<String> = store.state_dict().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "conv.weight",
            "conv.bias",
            "bn.weight",
            "bn.bias",
            "bn.running_mean",
            "bn.running_var",
            "norm.weight",
            "norm.bias",
            "fc.weight",
            "fc.bias",
        ]
    );
    Ok(())
}

#[test]
fn batch_norm_folds_into_the_convolution_before_it() -> Result<()> {
    let options = Conv2dOptions { bias: true, padding: 1, ..Default::default() };
    let ((conv, norm), store) =
        build(|b| Ok((Conv2d::new(3, 5, 3, options, &b.pp("conv"))?, BatchNorm2d::new(5, Default::default(), b)?)))?;
    for (i, name) in ["conv.bias", "weight", "bias", "running_mean"].into_iter().enumerate() {
        store.set(name, &random(i as u64, &[5]))?;
    }
    store.set("running_var", &random(9, &[5]).affine(0.4, 1.0)?)?;
    let x = random(1, &[2, 3, 6, 5]);
    let apart = norm.forward_act(&conv.forward(&x)?, Activation::Silu, &Mode::eval())?;
    let folded = norm.forward_conv(&conv, &x, Activation::Silu, &Mode::eval())?;
    crate::common::assert_close("evaluation", &folded, &apart, 1e-6);
    let trained = norm.forward_conv(&conv, &x, Activation::Silu, &Mode::train(0, 0))?;
    let apart = norm.forward_act(&conv.forward(&x)?, Activation::Silu, &Mode::train(0, 0))?;
    crate::common::assert_close("training", &trained, &apart, 1e-6);
    Ok(())
}

#[test]
fn batch_norm_trains_and_evaluates_differently() -> Result<()> {
    let (norm, _store) = build(|b| BatchNorm2d::new(3, Default::default(), b))?;
    let x = random(1, &[4, 3, 5, 5]).affine(3.0, 2.0)?;
    let before = flat(&norm.forward(&x, &Mode::eval())?);
    let trained = flat(&norm.forward(&x, &Mode::train(0, 0))?);
    let after = flat(&norm.forward(&x, &Mode::eval())?);
    assert_ne!(before, trained);
    assert_ne!(before, after, "training moves the running statistics");
    let mean: f32 = trained.iter().sum::<f32>() / trained.len() as f32;
    assert!(mean.abs() < 1e-5);
    Ok(())
}

#[test]
fn batch_norm_keeps_small_spreads_on_large_means() -> Result<()> {
    let (norm, _store) = build(|b| BatchNorm2d::new(1, BatchNormOptions { eps: 0.0, ..Default::default() }, b))?;
    let x = random(1, &[8, 1, 40, 40]).affine(1.0, 4096.0)?;
    let y = flat(&norm.forward(&x, &Mode::train(0, 0))?);
    let var: f32 = y.iter().map(|v| v * v).sum::<f32>() / y.len() as f32;
    assert!((var - 1.0).abs() < 1e-3, "variance {var}");
    Ok(())
}

#[test]
fn batch_norm_of_one_value_leaves_the_running_variance() -> Result<()> {
    let (norm, _store) = build(|b| BatchNorm2d::new(2, Default::default(), b))?;
    let y = norm.forward(&random(1, &[1, 2, 1, 1]), &Mode::train(0, 0))?;
    assert_eq!(flat(&y), [0.0, 0.0]);
    assert_eq!(flat(&norm.running_var.get()), [1.0, 1.0]);
    Ok(())
}

#[test]
fn dropout_keeps_its_share_and_its_mean() -> Result<()> {
    let x = Tensor::ones((64, 1000), DType::F32, &Device::Cpu)?;
    for p in [0.1f32, 0.5, 0.9] {
        let y = flat(&Dropout::new(p)?.forward(&x, &Mode::train(3, 5))?);
        let dropped = y.iter().filter(|v| **v == 0.0).count() as f32 / y.len() as f32;
        assert!((dropped - p).abs() < 0.01, "{dropped} dropped of {p}");
        assert!(y.iter().all(|v| *v == 0.0 || (v * (1.0 - p) - 1.0).abs() < 1e-6));
    }
    assert!(flat(&Dropout::new(1.0)?.forward(&x, &Mode::train(3, 5))?).iter().all(|v| *v == 0.0));
    Ok(())
}

#[test]
fn dropout_depends_on_seed_step_and_layer_alone() -> Result<()> {
    let x = Tensor::ones(4096, DType::F32, &Device::Cpu)?;
    let layer = Dropout::new(0.5)?;
    let draw = |mode: &Mode| Result::Ok(flat(&layer.forward(&x, mode)?));
    let mode = Mode::train(1, 7);
    let (first, second) = (draw(&mode)?, draw(&mode)?);
    assert_ne!(first, second, "two layers of one pass");
    assert_eq!(first, draw(&Mode::train(1, 7))?);
    assert_ne!(first, draw(&Mode::train(1, 8))?);
    assert_ne!(first, draw(&Mode::train(2, 7))?);
    Ok(())
}

#[test]
fn identities_return_the_tensor_itself() -> Result<()> {
    let x = random(1, &[3, 4]);
    let train = Mode::train(0, 0);
    for same in [
        Dropout::new(0.0)?.forward(&x, &train)?,
        Dropout::new(0.5)?.forward(&x, &Mode::eval())?,
        DropPath::new(0.0)?.forward(&x, &train)?,
        DropPath::new(0.5)?.forward(&x, &Mode::eval())?,
    ] {
        assert_eq!(same.id(), x.id());
    }
    Ok(())
}

#[test]
fn drop_path_drops_whole_samples() -> Result<()> {
    let x = Tensor::ones((200, 3, 2), DType::F32, &Device::Cpu)?;
    let y = DropPath::new(0.25)?.forward(&x, &Mode::train(0, 0))?;
    let mut kept = 0;
    for sample in flat(&y).chunks(6) {
        assert!(sample.iter().all(|v| *v == sample[0]));
        kept += usize::from(sample[0] != 0.0);
    }
    assert!((120..180).contains(&kept), "{kept} of 200 kept");
    Ok(())
}

#[test]
fn max_pool_carries_nan_and_infinity() -> Result<()> {
    let x = Tensor::new(&[f32::NAN, 1.0, f32::NEG_INFINITY, f32::NEG_INFINITY], &Device::Cpu)?.reshape((1, 1, 1, 4))?;
    let config = PoolConfig { kernel: (1, 2), stride: (1, 2), padding: (0, 0), ceil_mode: false };
    let y = flat(&max_pool2d(&x, config)?);
    assert!(y[0].is_nan());
    assert_eq!(y[1], f32::NEG_INFINITY);
    Ok(())
}

#[test]
fn empty_batches_pass() -> Result<()> {
    let x = Tensor::zeros((0, 3, 4, 4), DType::F32, &Device::Cpu)?;
    assert_eq!(max_pool2d(&x, PoolConfig::square(2, 2, 0))?.dims(), [0, 3, 2, 2]);
    assert_eq!(global_avg_pool(&x)?.dims(), [0, 3]);
    let (norm, _store) = build(|b| BatchNorm2d::new(3, Default::default(), b))?;
    assert_eq!(norm.forward_act(&x, Activation::Relu, &Mode::eval())?.dims(), [0, 3, 4, 4]);
    assert!(matches!(norm.forward(&x, &Mode::train(0, 0)), Err(Error::Input { .. })));
    Ok(())
}

#[test]
fn wrong_inputs_are_errors_that_say_what_was_expected() -> Result<()> {
    let t = |shape: &[usize]| random(1, shape);
    let (norm, _store) = build(|b| BatchNorm2d::new(3, Default::default(), b))?;
    let pool = PoolConfig::square(2, 2, 0);
    for (label, result) in [
        ("BatchNorm, rank", norm.forward(&t(&[2, 3]), &Mode::eval())),
        ("BatchNorm, channels", norm.forward(&t(&[2, 4, 2, 2]), &Mode::eval())),
        ("max pool, rank", max_pool2d(&t(&[4, 4]), pool)),
        ("max pool, too small", max_pool2d(&t(&[1, 1, 1, 4]), pool)),
        ("avg pool, no pixels", avg_pool2d(&t(&[1, 1, 0, 4]), pool, true)),
        ("global pool, no pixels", global_avg_pool(&t(&[1, 1, 0, 4]))),
        ("linear, inputs", linear(&t(&[2, 3]), &t(&[4, 5]), None)),
        ("linear, bias", linear(&t(&[2, 3]), &t(&[4, 3]), Some(&t(&[3])))),
        ("linear, scalar", linear(&t(&[]), &t(&[4, 3]), None)),
        ("softmax, scalar", softmax(&t(&[]))),
        ("cross-entropy, classes", cross_entropy(&t(&[2, 3]), &t(&[2, 4]))),
        ("cross-entropy, empty", cross_entropy(&t(&[0, 3]), &t(&[0, 3]))),
        ("f64", softmax(&t(&[2, 3]).to_dtype(DType::F64)?)),
    ] {
        match result {
            Err(Error::Input { expected, found, .. }) => assert!(!expected.is_empty() && !found.is_empty()),
            other => panic!("{label}: {other:?}"),
        }
    }
    Ok(())
}

#[test]
fn meaningless_configurations_are_errors() {
    let x = random(1, &[1, 1, 4, 4]);
    let conv = |options| build(|b| Conv2d::new(4, 6, 3, options, b)).map(|_| ());
    for (label, result) in [
        ("p above 1", Dropout::new(1.5).map(|_| ())),
        ("p NaN", DropPath::new(f32::NAN).map(|_| ())),
        ("stride 0", max_pool2d(&x, PoolConfig::square(2, 0, 0)).map(|_| ())),
        ("padding over half", max_pool2d(&x, PoolConfig::square(2, 2, 2)).map(|_| ())),
        ("groups", conv(Conv2dOptions { groups: 4, ..Default::default() })),
        ("conv stride", conv(Conv2dOptions { stride: 0, ..Default::default() })),
        ("no channels", build(|b| BatchNorm2d::new(0, Default::default(), b)).map(|_| ())),
        ("no outputs", build(|b| Linear::new(3, 0, true, Init::ZEROS, b)).map(|_| ())),
        ("negative eps", build(|b| LayerNorm::new(3, -1.0, b)).map(|_| ())),
    ] {
        assert!(matches!(result, Err(Error::Config { .. })), "{label}: {result:?}");
    }
}
