//! Max and average pooling over windows.

use super::run;
use crate::device::Device;
use crate::error::{Error, Result, check, int, require};
use crate::launch::{Argument, Grid, arguments, is_wide, width};
use crate::memory::{Plain, Storage, View, ViewMut};

const OP: &str = "pool";

/// One axis of a pooling window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Pixels of the window.
    pub kernel: usize,
    /// Pixels between windows.
    pub stride: usize,
    /// Pixels added on both sides, at most half the window.
    pub padding: usize,
}

/// The windows over a batch of images `[n, h, w, c]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pooling {
    input: [usize; 4],
    output: [usize; 4],
    windows: [Window; 2],
}

impl Pooling {
    /// Vertical and horizontal windows over images. `ceil_mode` counts a window that begins inside the image or its padding
    /// and ends outside.
    ///
    /// # Errors
    /// A window that does not fit.
    pub fn new(input: [usize; 4], windows: [Window; 2], ceil_mode: bool) -> Result<Self> {
        let mut output = input;
        for axis in 0..2 {
            let (size, Window { kernel, stride, padding }) = (input[axis + 1], windows[axis]);
            let fits = kernel > 0 && stride > 0 && padding <= kernel / 2 && size > 0 && size + 2 * padding >= kernel;
            require(OP, fits, "a window that fits the image", format!("{:?} over {size} pixels", windows[axis]))?;
            let room = size + 2 * padding - kernel;
            let mut windows = if ceil_mode { room.div_ceil(stride) } else { room / stride } + 1;
            if ceil_mode && (windows - 1) * stride >= size + padding {
                windows -= 1;
            }
            output[axis + 1] = windows;
        }
        for size in input {
            int(OP, "a size", size)?;
        }
        Ok(Self { input, output, windows })
    }

    /// One window over each whole image.
    ///
    /// # Errors
    /// Images without pixels.
    pub fn global(input: [usize; 4]) -> Result<Self> {
        let window = |size| Window { kernel: size, stride: size, padding: 0 };
        Self::new(input, [window(input[1]), window(input[2])], false)
    }

    /// The shape of the result, `[n, h, w, c]`.
    pub fn output(&self) -> [usize; 4] {
        self.output
    }

    fn arguments(&self, wide: bool) -> Vec<Argument> {
        let axis = |axis: usize| {
            let Window { kernel, stride, padding } = self.windows[axis];
            [self.input[axis + 1], self.output[axis + 1], kernel, stride, padding]
        };
        let sizes = [&axis(0)[..], &axis(1)[..], &[self.input[3]]].concat();
        sizes.into_iter().map(|size| Argument::I32(size as i32)).chain([wide.into()]).collect()
    }

    fn is_small(&self) -> bool {
        self.windows[0].kernel * self.windows[1].kernel <= 256
    }

    /// Runs a kernel that writes images of the shape `[n, h, w, c]`, a row of pixels a row of blocks.
    ///
    /// # Safety
    /// As [`Device::launch`].
    unsafe fn run<D: Device, T: Storage>(
        &self,
        device: &D,
        kernel: &str,
        [n, h, w, c]: [usize; 4],
        wide: bool,
        first: Vec<Argument>,
    ) -> Result<()> {
        if n * c == 0 {
            return Ok(());
        }
        let grid = Grid::rows(n * h, (w * c).div_ceil(width::<T>(wide)));
        let arguments = [first, self.arguments(wide)].concat();
        // SAFETY: by the contract.
        unsafe { run(device, OP, format!("{kernel}{}", T::SUFFIX), grid, arguments) }
    }

    /// The largest value under each window; and the number of its tap, which the backward pass needs.
    ///
    /// # Errors
    /// Arrays of other lengths; taps of the wrong type; a failed launch.
    pub fn max<D: Device, T: Storage>(
        &self,
        device: &D,
        x: View<T>,
        y: ViewMut<T>,
        taps: Option<TapsMut>,
    ) -> Result<()> {
        self.check(x.len(), y.len())?;
        let wide = is_wide::<T>(self.input[3], &[x.address(), y.address()]);
        let (kernel, taps) = match (self.is_small(), taps) {
            (true, None) => ("max_pool_small", Argument::Address(0)),
            (false, None) => ("max_pool_large", Argument::Address(0)),
            (true, Some(TapsMut::Small(taps))) => ("max_pool_small", self.taps(&taps.as_view())?),
            (false, Some(TapsMut::Large(taps))) => ("max_pool_large", self.taps(&taps.as_view())?),
            (small, Some(_)) => return Err(wrong_taps(small)),
        };
        // SAFETY: the arrays have the lengths that were checked.
        unsafe { self.run::<D, T>(device, kernel, self.output, wide, vec![x.into(), (&y).into(), taps]) }
    }

    /// The gradient of the images of [`max`](Self::max).
    ///
    /// # Errors
    /// Arrays of other lengths; taps of the wrong type; a failed launch.
    pub fn max_backward<D: Device, T: Storage>(
        &self,
        device: &D,
        dy: View<T>,
        taps: Taps,
        dx: ViewMut<T>,
    ) -> Result<()> {
        self.check(dx.len(), dy.len())?;
        let wide = is_wide::<T>(self.input[3], &[dy.address(), dx.address()]);
        let (kernel, taps) = match (self.is_small(), taps) {
            (true, Taps::Small(taps)) => ("max_pool_small_backward", self.taps(&taps)?),
            (false, Taps::Large(taps)) => ("max_pool_large_backward", self.taps(&taps)?),
            (small, _) => return Err(wrong_taps(small)),
        };
        // SAFETY: the arrays have the lengths that were checked.
        unsafe { self.run::<D, T>(device, kernel, self.input, wide, vec![dy.into(), taps, (&dx).into()]) }
    }

    /// The mean of the values under each window. `count_include_pad` says whether the padding counts.
    ///
    /// # Errors
    /// Arrays of other lengths; a failed launch.
    pub fn avg<D: Device, T: Storage>(
        &self,
        device: &D,
        x: View<T>,
        y: ViewMut<T>,
        count_include_pad: bool,
    ) -> Result<()> {
        self.check(x.len(), y.len())?;
        let wide = is_wide::<T>(self.input[3], &[x.address(), y.address()]);
        let first = arguments![x, &y, count_include_pad];
        // SAFETY: the arrays have the lengths that were checked.
        unsafe { self.run::<D, T>(device, "avg_pool", self.output, wide, first) }
    }

    /// The gradient of the images of [`avg`](Self::avg).
    ///
    /// # Errors
    /// Arrays of other lengths; a failed launch.
    pub fn avg_backward<D: Device, T: Storage>(
        &self,
        device: &D,
        dy: View<T>,
        dx: ViewMut<T>,
        count_include_pad: bool,
    ) -> Result<()> {
        self.check(dx.len(), dy.len())?;
        let wide = is_wide::<T>(self.input[3], &[dy.address(), dx.address()]);
        let first = arguments![dy, &dx, count_include_pad];
        // SAFETY: the arrays have the lengths that were checked.
        unsafe { self.run::<D, T>(device, "avg_pool_backward", self.input, wide, first) }
    }

    fn check(&self, input: usize, output: usize) -> Result<()> {
        check(OP, "the images", self.input.iter().product(), input)?;
        check(OP, "the result", self.output.iter().product(), output)
    }

    fn taps<T: Plain>(&self, taps: &View<T>) -> Result<Argument> {
        check(OP, "the taps", self.output.iter().product(), taps.len())?;
        Ok((*taps).into())
    }
}

fn wrong_taps(small: bool) -> Error {
    let (expected, found) =
        if small { ("taps of bytes", "taps of 32 bits") } else { ("taps of 32 bits", "taps of bytes") };
    Error::Sizes { op: OP, expected: expected.to_owned(), found: found.to_owned() }
}

/// The places of maxima: bytes for windows of at most 256 pixels.
#[derive(Debug, Clone, Copy)]
pub enum Taps<'a> {
    /// Of at most 256 pixels.
    Small(View<'a, u8>),
    /// Of more.
    Large(View<'a, u32>),
}

/// The places of maxima, to write.
#[derive(Debug)]
pub enum TapsMut<'a> {
    /// Of at most 256 pixels.
    Small(ViewMut<'a, u8>),
    /// Of more.
    Large(ViewMut<'a, u32>),
}
