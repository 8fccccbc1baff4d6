//! Depthwise convolution: one filter a channel.

use super::activation::Activation;
use super::run;
use crate::device::{Array, Device};
use crate::error::{Result, check, int, require};
use crate::launch::{Argument, Grid, Slices, arguments};
use crate::memory::{Storage, View, ViewMut};

const OP: &str = "depthwise";
/// Taps of the largest filter: a block's filters lie in shared memory.
const MAX_TAPS: usize = 121;
/// Taps whose gradients a block sums.
const TAPS_AT_ONCE: usize = 9;

/// The sizes of a depthwise convolution; pairs are (vertical, horizontal).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depthwise {
    /// The images, `[n, h, w, c]`.
    pub input: [usize; 4],
    /// Pixels of a filter, at most 121.
    pub kernel: (usize, usize),
    /// Pixels between outputs.
    pub stride: (usize, usize),
    /// Zeros around the image.
    pub padding: (usize, usize),
    /// Pixels between taps.
    pub dilation: (usize, usize),
}

/// The tail of a forward pass: `activation(y · scale + shift)`, by channel.
#[derive(Debug, Clone, Copy, Default)]
pub struct Epilogue<'a> {
    /// Factors.
    pub scale: Option<View<'a, f32>>,
    /// Summands.
    pub shift: Option<View<'a, f32>>,
    /// The activation.
    pub activation: Activation,
}

impl Depthwise {
    /// The shape of the result, `[n, h, w, c]`.
    ///
    /// # Errors
    /// A filter that does not fit, or has too many taps.
    pub fn output(&self) -> Result<[usize; 4]> {
        let [n, h, w, c] = self.input;
        let taps = self.kernel.0 * self.kernel.1;
        require(OP, (1..=MAX_TAPS).contains(&taps), "filters of 1 to 121 taps", taps)?;
        let out = |size: usize, kernel: usize, stride: usize, padding: usize, dilation: usize| {
            require(OP, stride > 0 && dilation > 0, "a stride and a dilation of at least 1", 0)?;
            let reach = dilation * (kernel - 1) + 1;
            require(OP, size + 2 * padding >= reach, "an image at least as large as the filter", size)?;
            Ok((size + 2 * padding - reach) / stride + 1)
        };
        let oh = out(h, self.kernel.0, self.stride.0, self.padding.0, self.dilation.0)?;
        let ow = out(w, self.kernel.1, self.stride.1, self.padding.1, self.dilation.1)?;
        int(OP, "the pixels", n * (h * w).max(oh * ow))?;
        int(OP, "the channels times taps", c * taps)?;
        Ok([n, oh, ow, c])
    }

    fn arguments(&self, output: [usize; 4], slices: &Slices) -> Vec<Argument> {
        let [n, h, w, c] = self.input;
        let pairs = [self.kernel, self.stride, self.padding, self.dilation];
        let sizes = [n, h, w, c, output[1], output[2]].into_iter().chain(pairs.into_iter().flat_map(|(a, b)| [a, b]));
        sizes.chain([slices.rows]).map(|size| Argument::I32(size as i32)).collect()
    }

    fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// Pixels divided among blocks of 32 channels and 8 pixels at once.
    fn slices(pixels: usize, c: usize, taps: usize) -> Slices {
        let mut slices = Slices::new(pixels, c.max(32), 1, taps.div_ceil(TAPS_AT_ONCE));
        slices.grid.blocks[0] = c.div_ceil(32) as u32;
        slices
    }

    /// The convolution with `filters [c, kh, kw]`.
    ///
    /// # Errors
    /// Sizes that do not fit; arrays of other lengths; a failed launch.
    pub fn forward<D: Device, T: Storage>(
        &self,
        device: &D,
        x: View<T>,
        filters: View<f32>,
        epilogue: Epilogue,
        y: ViewMut<T>,
    ) -> Result<()> {
        let output = self.check(x.len(), filters.len(), y.len())?;
        let c = self.input[3];
        check(OP, "the scale", c, epilogue.scale.map_or(c, |scale| scale.len()))?;
        check(OP, "the shift", c, epilogue.shift.map_or(c, |shift| shift.len()))?;
        if y.is_empty() {
            return Ok(());
        }
        let slices = Self::slices(output[..3].iter().product(), c, 1);
        let first = arguments![x, filters, epilogue.scale, epilogue.shift, &y];
        let last = arguments![epilogue.activation as i32];
        let arguments = [first, self.arguments(output, &slices), last].concat();
        // SAFETY: the arrays have the lengths that were checked.
        unsafe { run(device, OP, format!("depthwise_forward{}", T::SUFFIX), slices.grid, arguments) }
    }

    /// The gradient of the images, from that of the result without an epilogue.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn input_grad<D: Device, T: Storage>(
        &self,
        device: &D,
        dy: View<T>,
        filters: View<f32>,
        dx: ViewMut<T>,
    ) -> Result<()> {
        let output = self.check(dx.len(), filters.len(), dy.len())?;
        let [n, h, w, c] = self.input;
        if dx.is_empty() {
            return Ok(());
        }
        let slices = Self::slices(n * h * w, c, 1);
        let arguments = [arguments![dy, filters, &dx], self.arguments(output, &slices)].concat();
        // SAFETY: the arrays have the lengths that were checked.
        unsafe { run(device, OP, format!("depthwise_dx{}", T::SUFFIX), slices.grid, arguments) }
    }

    /// The gradient of the filters.
    ///
    /// # Errors
    /// As [`forward`](Self::forward).
    pub fn weight_grad<D: Device, T: Storage>(
        &self,
        device: &D,
        x: View<T>,
        dy: View<T>,
        dw: ViewMut<f32>,
    ) -> Result<()> {
        let output = self.check(x.len(), dw.len(), dy.len())?;
        let (c, taps) = (self.input[3], self.taps());
        let slices = Self::slices(output[..3].iter().product(), c, taps);
        let mut parts = Array::<_, f32>::uninit(device, slices.count * taps * c)?;
        let partial = [arguments![x, dy, &parts.view_mut()], self.arguments(output, &slices)].concat();
        let finish = arguments![parts.view(), slices.count as i32, taps as i32, c as i32, &dw];
        // SAFETY: the arrays have the lengths that were checked; the parts hold every tap of each slice.
        unsafe {
            run(device, OP, format!("depthwise_dw{}", T::SUFFIX), slices.grid, partial)?;
            run(device, OP, "depthwise_dw_finish", Grid::finish(taps * c, 1), finish)
        }
    }

    fn check(&self, input: usize, filters: usize, output: usize) -> Result<[usize; 4]> {
        let shape = self.output()?;
        require(OP, self.input[3] > 0, "at least one channel", 0)?;
        check(OP, "the images", self.input.iter().product(), input)?;
        check(OP, "the filters", self.input[3] * self.taps(), filters)?;
        check(OP, "the result", shape.iter().product(), output)?;
        Ok(shape)
    }
}
