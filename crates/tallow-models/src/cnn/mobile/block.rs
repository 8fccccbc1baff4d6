//! The blocks of the mobile families: convolutions with norms, an optional squeeze-excite, an optional shortcut.
//!
//! Names are timm's.

use candle_core::Tensor;
use tallow_nn::layers::DropPath;
use tallow_nn::op::{Activation, add_activate};
use tallow_nn::{Builder, Mode, Result};

use super::decode::{BlockArgs, Kind, divisible};
use super::variant::{MobileVariant, Squeeze};
use crate::layers::conv_norm_act::ConvNormAct;
use crate::layers::padded_conv::ConvSpec;
use crate::layers::squeeze_excite::SqueezeExcite;

pub(super) struct Block {
    steps: Vec<Step>,
    skip: bool,
    drop_path: DropPath,
}

enum Step {
    Conv(ConvNormAct),
    Excite(SqueezeExcite),
}

impl Block {
    /// A block with these numbers of input and output channels.
    pub(super) fn new(
        args: BlockArgs,
        (inputs, outputs): (usize, usize),
        variant: &MobileVariant,
        drop_path: f32,
        b: &Builder,
    ) -> Result<Self> {
        let mut chain = Chain { steps: Vec::new(), channels: inputs, variant, args, b };
        let active = args.activation.unwrap_or(variant.activation);
        let linear = Activation::Identity;
        let hidden = divisible(inputs as f64 * args.expansion, 0.9);
        let stride = args.stride;
        match args.kind {
            Kind::DepthwiseSeparable | Kind::DepthwiseSeparableActive => {
                let last = if args.kind == Kind::DepthwiseSeparable { linear } else { active };
                chain.depthwise(("conv_dw", "bn1"), args.kernel, stride, active)?;
                chain.excite()?;
                chain.conv(("conv_pw", "bn2"), outputs, 1, 1, last)?;
            }
            Kind::InvertedResidual => {
                chain.conv(("conv_pw", "bn1"), hidden, 1, 1, active)?;
                chain.depthwise(("conv_dw", "bn2"), args.kernel, stride, active)?;
                chain.excite()?;
                chain.conv(("conv_pwl", "bn3"), outputs, 1, 1, linear)?;
            }
            Kind::EdgeResidual => {
                chain.conv(("conv_exp", "bn1"), hidden, args.kernel, stride, active)?;
                chain.excite()?;
                chain.conv(("conv_pwl", "bn2"), outputs, 1, 1, linear)?;
            }
            Kind::UniversalInvertedResidual => {
                // The stride is on the middle depthwise convolution, or else on the first.
                let start_stride = if args.kernel > 0 { 1 } else { stride };
                if args.start_kernel > 0 {
                    chain.depthwise(("dw_start.conv", "dw_start.bn"), args.start_kernel, start_stride, linear)?;
                }
                chain.conv(("pw_exp.conv", "pw_exp.bn"), hidden, 1, 1, active)?;
                if args.kernel > 0 {
                    chain.depthwise(("dw_mid.conv", "dw_mid.bn"), args.kernel, stride, active)?;
                }
                chain.excite()?;
                chain.conv(("pw_proj.conv", "pw_proj.bn"), outputs, 1, 1, linear)?;
            }
            Kind::Conv => chain.conv(("conv", "bn1"), outputs, args.kernel, stride, active)?,
        }
        Ok(Block {
            steps: chain.steps,
            skip: args.skip && stride == 1 && inputs == outputs,
            drop_path: DropPath::new(drop_path)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor, mode: &Mode) -> Result<Tensor> {
        let mut y = x.clone();
        for step in &self.steps {
            y = match step {
                Step::Conv(conv) => conv.forward(&y, mode)?,
                Step::Excite(excite) => excite.forward(&y)?,
            };
        }
        if self.skip { add_activate(&self.drop_path.forward(&y, mode)?, x, Activation::Identity) } else { Ok(y) }
    }
}

/// The layers so far, and the number of their output channels.
struct Chain<'a> {
    steps: Vec<Step>,
    channels: usize,
    variant: &'a MobileVariant,
    args: BlockArgs,
    b: &'a Builder,
}

impl Chain<'_> {
    fn conv(
        &mut self,
        names: (&str, &str),
        outputs: usize,
        kernel: usize,
        stride: usize,
        activation: Activation,
    ) -> Result<()> {
        let spec = ConvSpec { stride, ..ConvSpec::new(self.channels, outputs, kernel) };
        self.push(names, spec, activation)
    }

    fn depthwise(&mut self, names: (&str, &str), kernel: usize, stride: usize, activation: Activation) -> Result<()> {
        let channels = self.channels;
        let spec = ConvSpec { stride, groups: channels, ..ConvSpec::new(channels, channels, kernel) };
        self.push(names, spec, activation)
    }

    fn push(&mut self, names: (&str, &str), spec: ConvSpec, activation: Activation) -> Result<()> {
        let spec = ConvSpec { padding: self.variant.padding, ..spec };
        let conv = ConvNormAct::named(names, spec, self.variant.norm(), activation, self.b)?;
        self.steps.push(Step::Conv(conv));
        self.channels = spec.outputs;
        Ok(())
    }

    fn excite(&mut self) -> Result<()> {
        let BlockArgs { squeeze, expansion, activation, .. } = self.args;
        if squeeze == 0.0 {
            return Ok(());
        }
        let channels = self.channels as f64;
        let (reduced, activation, gate) = match self.variant.squeeze {
            Squeeze::OfInputs => {
                let reduced = (channels * (squeeze / expansion)).round_ties_even() as usize;
                (reduced, activation.unwrap_or(self.variant.activation), Activation::Sigmoid)
            }
            Squeeze::OfHidden => (divisible(channels * squeeze, 0.9), Activation::Relu, Activation::Hardsigmoid),
        };
        let names = ("conv_reduce", "conv_expand");
        let excite = SqueezeExcite::new(self.channels, reduced, names, activation, gate, &self.b.pp("se"))?;
        self.steps.push(Step::Excite(excite));
        Ok(())
    }
}
