//! Activation checkpointing changes memory and time, and nothing else.

use crate::common::{flat, random};
use candle_core::{Device, Tensor};
use tallow_nn::layers::{Activation, BatchNorm2d, Conv2d, Conv2dOptions, Dropout, checkpoint};
use tallow_nn::op::add_activate;
use tallow_nn::{Builder, Gradients, Mode, ParamStore, Result, Tape};

/// A residual block with all that a second pass could get wrong: running statistics, dropout, ops of Candle's own.
#[derive(Clone)]
struct Block {
    conv: Conv2d,
    norm: BatchNorm2d,
    dropout: Dropout,
    scale: Tensor,
}

impl Block {
    fn new(b: &Builder) -> Result<Self> {
        let options = Conv2dOptions { padding: 1, ..Default::default() };
        Ok(Block {
            conv: Conv2d::new(3, 3, 3, options, &b.pp("conv"))?,
            norm: BatchNorm2d::new(3, Default::default(), &b.pp("norm"))?,
            dropout: Dropout::new(0.4)?,
            scale: b.param("scale", &[1, 3, 1, 1], tallow_nn::Init::Constant(0.5))?,
        })
    }

    fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let y = self.norm.forward(&self.conv.forward(x)?, mode)?;
        let y = self.dropout.forward(&y, mode)?.broadcast_mul(&self.scale)?;
        add_activate(&y, x, Activation::Identity)
    }
}

struct Net {
    blocks: Vec<Block>,
    store: ParamStore,
}

fn net() -> Net {
    let blocks = |b: &Builder| (0..3).map(|i| Block::new(&b.pp(i))).collect::<Result<Vec<_>>>();
    let (blocks, store) = ParamStore::build(5, &Device::Cpu, blocks).unwrap();
    Net { blocks, store }
}

/// The output and the gradients of a training pass, two steps after one another.
fn train(net: &Net, input: &Tensor, frozen: &[Tensor], checkpointed: bool) -> Vec<(Tensor, Gradients)> {
    let step = |step: u64| {
        let mode = Mode::train(3, step);
        let tape = Tape::start_without(frozen);
        let mut x = input.clone();
        for block in &net.blocks {
            x = if checkpointed {
                checkpoint(block, &x, &mode, Block::forward).unwrap()
            } else {
                block.forward(&x, &mode).unwrap()
            };
        }
        assert_eq!(mode.draws(), 3, "one layer a block that draws");
        (x.clone(), tape.backward(&x.sqr().unwrap().sum_all().unwrap()).unwrap())
    };
    vec![step(0), step(1)]
}

fn compare(frozen: fn(&Net) -> Vec<Tensor>, input: &Tensor) {
    let (plain, small) = (net(), net());
    let kept = train(&plain, input, &frozen(&plain), false);
    let again = train(&small, input, &frozen(&small), true);
    for ((y, grads), (y_again, grads_again)) in kept.iter().zip(&again) {
        assert_eq!(flat(y), flat(y_again));
        for ((name, a), (_, b)) in plain.store.parameters().zip(small.store.parameters()) {
            assert_eq!(grads.get(a).map(flat), grads_again.get(b).map(flat), "{name}");
        }
        if let (Some(a), Some(b)) = (grads.get(input), grads_again.get(input)) {
            assert_eq!(flat(a), flat(b), "the input");
        }
        assert_eq!(grads.get(input).is_some(), grads_again.get(input).is_some(), "the input");
    }
    for ((name, a), (_, b)) in plain.store.state_dict().iter().zip(&small.store.state_dict()) {
        assert_eq!(flat(a), flat(b), "{name} moves once a step");
    }
    assert_ne!(flat(&kept[0].0), flat(&kept[1].0), "each step draws anew");
}

#[test]
fn gradients_statistics_and_masks_are_the_same_to_the_bit() {
    compare(|_| Vec::new(), &random(1, &[2, 3, 6, 5]));
}

#[test]
fn so_is_the_gradient_of_an_input_that_is_trained() {
    compare(|_| Vec::new(), &crate::common::variable(&random(1, &[2, 3, 6, 5])));
}

#[test]
fn frozen_parts_stay_without_gradients() {
    let first = |net: &Net| {
        let frozen = net.store.parameters().filter(|(name, _)| name.starts_with("0."));
        frozen.map(|(_, var)| var.as_tensor().clone()).collect()
    };
    compare(first, &random(1, &[2, 3, 6, 5]));
}

#[test]
fn without_a_tape_nothing_is_kept_and_nothing_changes() {
    let net = net();
    let x = random(1, &[1, 3, 4, 4]);
    let (mode, block) = (Mode::eval(), &net.blocks[0]);
    let y = checkpoint(block, &x, &mode, Block::forward).unwrap();
    assert_eq!(flat(&y), flat(&block.forward(&x, &mode).unwrap()));
}
