//! The sizes of one convolution.

/// The movement of the kernel over the image: (vertical, horizontal) each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvConfig {
    /// Pixels between outputs.
    pub stride: (usize, usize),
    /// Zeros around the image, on both sides.
    pub padding: (usize, usize),
    /// Pixels between taps.
    pub dilation: (usize, usize),
    /// Groups that the channels are divided into. Outputs of a group see the inputs of that group alone.
    pub groups: usize,
}

impl Default for ConvConfig {
    fn default() -> Self {
        ConvConfig { stride: (1, 1), padding: (0, 0), dilation: (1, 1), groups: 1 }
    }
}

/// Every size of one convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Images.
    pub n: usize,
    /// Input: height, width, channels.
    pub h: usize,
    pub w: usize,
    pub c: usize,
    /// Output: height, width, channels.
    pub oh: usize,
    pub ow: usize,
    pub o: usize,
    /// Kernel: height, width.
    pub kh: usize,
    pub kw: usize,
    pub config: ConvConfig,
}

impl Geometry {
    /// The convolution of `x` `[n, c, h, w]` with `weight` `[o, c/groups, kh, kw]`. An error says what would fit.
    pub fn new(
        [n, c, h, w]: [usize; 4],
        [o, cg, kh, kw]: [usize; 4],
        config: ConvConfig,
    ) -> Result<Geometry, &'static str> {
        let ConvConfig { stride, padding, dilation, groups } = config;
        if groups == 0 || cg * groups != c || o % groups != 0 || o == 0 || c == 0 {
            return Err("channels and outputs, of which there are some, that the groups divide");
        }
        if [stride.0, stride.1, dilation.0, dilation.1, kh, kw].contains(&0) {
            return Err("a stride, dilation and kernel of at least 1");
        }
        let out = |size: usize, pad: usize, k: usize, d: usize, s: usize| {
            (size + 2 * pad).checked_sub(d * (k - 1) + 1).map(|room| room / s + 1)
        };
        let oh = out(h, padding.0, kh, dilation.0, stride.0);
        let ow = out(w, padding.1, kw, dilation.1, stride.1);
        let (Some(oh), Some(ow)) = (oh, ow) else {
            return Err("an image at least as large as the kernel");
        };
        Ok(Geometry { n, h, w, c, oh, ow, o, kh, kw, config })
    }

    pub fn taps(&self) -> usize {
        self.kh * self.kw
    }

    /// Input channels of a group.
    pub fn cg(&self) -> usize {
        self.c / self.config.groups
    }

    /// Output channels of a group.
    pub fn og(&self) -> usize {
        self.o / self.config.groups
    }

    pub fn is_depthwise(&self) -> bool {
        self.cg() == 1 && self.og() == 1
    }

    /// Where tap (ky, kx) reads, relative to the pixel at output × stride.
    pub fn tap_offset(&self, tap: usize) -> (isize, isize) {
        let ConvConfig { padding, dilation, .. } = self.config;
        let (ky, kx) = (tap / self.kw, tap % self.kw);
        ((ky * dilation.0) as isize - padding.0 as isize, (kx * dilation.1) as isize - padding.1 as isize)
    }

    /// Values of the input, of the output, and of the filters.
    pub fn lens(&self) -> [usize; 3] {
        [self.n * self.h * self.w * self.c, self.n * self.oh * self.ow * self.o, self.o * self.cg() * self.taps()]
    }
}
