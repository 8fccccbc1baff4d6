//! Huffman codes: their tables, the bits of a scan, and the coefficients of a block.

/// Bits of a code that one look-up resolves.
const FAST_BITS: u32 = 10;

/// From the place of a coefficient in a file to its place in the block.
const ZIGZAG: [u8; 64] = {
    let mut order = [0; 64];
    let (mut x, mut y, mut i) = (0i32, 0i32, 0);
    while i < 64 {
        order[i] = (y * 8 + x) as u8;
        // Up and to the right on even diagonals, down and to the left on odd ones, turning at the sides.
        if (x + y) % 2 == 0 {
            if x == 7 {
                y += 1;
            } else if y == 0 {
                x += 1;
            } else {
                (x, y) = (x + 1, y - 1);
            }
        } else if y == 7 {
            x += 1;
        } else if x == 0 {
            y += 1;
        } else {
            (x, y) = (x - 1, y + 1);
        }
        i += 1;
    }
    order
};

/// Where in a block each coefficient of a file belongs, and what it was divided by (from bit 8 on).
pub(super) struct Steps([u32; 64]);

impl Steps {
    pub fn new(quantization: &[i32; 64]) -> Self {
        Self(std::array::from_fn(|i| u32::from(ZIGZAG[i]) | (quantization[i] as u32) << 8))
    }
}

/// A Huffman code.
pub(super) struct Table {
    /// What the next bits begin with; 0 where the code is longer than these.
    fast: Box<[Entry; 1 << FAST_BITS]>,
    /// For each length: the first 16 bits beyond its codes, and where its symbols begin, less its first code.
    beyond: [u32; 17],
    offset: [i32; 17],
    symbols: Vec<u8>,
}

/// A symbol: from the lowest byte on the bits that its code and the number behind it take, those of the code, those of the
/// number, and the zeros before the number.
type Entry = u32;

/// Zeros "before the number" of the symbol that ends a block.
const END: u32 = 64;

/// The entry of a symbol whose code takes `length` bits.
#[inline(always)]
fn entry(symbol: u8, length: u32) -> Entry {
    let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
    // Without a number it stands for sixteen zeros, or the end.
    let run = if size == 0 && run != 15 { END } else { run };
    run << 24 | size << 16 | length << 8 | (length + size)
}

/// The code with so many symbols of each length; `ac` for the coefficients behind the first. `None` if there is no such.
pub(super) fn table(counts: &[u8; 16], symbols: &[u8], ac: bool) -> Option<Table> {
    let mut fast = Box::new([0; 1 << FAST_BITS]);
    let (mut beyond, mut offset) = ([0; 17], [0; 17]);
    let (mut code, mut next) = (0u32, 0);
    for length in 1..=16 {
        let count = u32::from(counts[length as usize - 1]);
        offset[length as usize] = next as i32 - code as i32;
        for symbol in symbols.get(next..next + count as usize)? {
            // Of so many bits numbers are in files of 8 bits: what is read at once must not take more than there are.
            if *symbol & 15 > if ac { 10 } else { 11 } || !ac && *symbol > 11 {
                return None;
            }
            if length <= FAST_BITS {
                let first = (code << (FAST_BITS - length)) as usize;
                fast.get_mut(first..first + (1 << (FAST_BITS - length)))?.fill(entry(*symbol, length));
            }
            code += 1;
            next += 1;
        }
        if code > 1 << length {
            return None;
        }
        beyond[length as usize] = code << (16 - length);
        code <<= 1;
    }
    Some(Table { fast, beyond, offset, symbols: symbols.to_vec() })
}

/// The bits of a part of a scan without stuffing, sixteen zero bytes at its end.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    buffer: u64,
    count: u32,
}

/// The zero bytes behind the data.
pub(super) const PADDING: usize = 16;

impl<'a> Bits<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, buffer: 0, count: 0 }
    }

    /// True if more bits were taken than there are.
    pub fn overrun(&self) -> bool {
        8 * self.at > 8 * (self.bytes.len() - PADDING) + self.count as usize
    }

    /// Has at least 56 bits ready, zeros behind the end.
    #[inline(always)]
    fn refill(&mut self) {
        let next = match self.bytes.get(self.at..self.at + 8) {
            Some(bytes) => {
                u64::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]])
            }
            None => 0,
        };
        self.buffer |= next >> self.count;
        self.at += ((63 - self.count) >> 3) as usize;
        self.count |= 56;
    }

    /// The zeros and the number behind them that a table finds next, of the 27 bits or more that are ready. `None` if no
    /// code begins so.
    #[inline(always)]
    fn next(&mut self, table: &Table) -> Option<(u32, i32)> {
        let mut entry = table.fast[(self.buffer >> (64 - FAST_BITS)) as usize];
        if entry == 0 {
            entry = long(table, self.buffer)?;
        }
        let (length, size) = (entry >> 8 & 0xff, entry >> 16 & 0xff);
        // The number's first bit says that it is positive; of a negative one all bits are turned.
        let number = self.buffer << (length & 63);
        let low = 1i32.wrapping_shl(size).wrapping_sub(1) & !((number as i64 >> 63) as i32);
        let value = ((number >> 1) >> ((63 - size) & 63)) as i32;
        self.buffer <<= entry & 63;
        self.count -= entry & 63;
        Some((entry >> 24, value.wrapping_sub(low)))
    }

    /// The difference of the next block's first coefficient from the last one's.
    #[inline(always)]
    pub fn dc(&mut self, table: &Table) -> Option<i32> {
        self.refill();
        self.next(table).map(|(_, value)| value)
    }

    /// The other coefficients of a block, multiplied by what they were divided by, into `block`, which is zero. How many
    /// were read: all behind are 0.
    #[inline(always)]
    pub fn ac(&mut self, table: &Table, steps: &Steps, block: &mut [i32; 64]) -> Option<usize> {
        let (mut at, mut last) = (1, 0);
        loop {
            // Enough for two: a code takes 16 bits at most, its number 10.
            self.refill();
            for _ in 0..2 {
                let (run, value) = self.next(table)?;
                at += run as usize;
                if at > 63 {
                    // The end of the block, or damage if it is reached by zeros.
                    return (run == END).then_some(last);
                }
                let step = steps.0[at];
                block[(step & 63) as usize] = value.wrapping_mul((step >> 8) as i32);
                last = at;
                at += 1;
                if at > 63 {
                    return Some(last);
                }
            }
        }
    }

    /// Passes over the coefficients that [`ac`](Self::ac) reads.
    #[inline(always)]
    pub fn skip_ac(&mut self, table: &Table) -> Option<()> {
        let mut at = 1;
        loop {
            self.refill();
            for _ in 0..2 {
                let (run, _) = self.next(table)?;
                at += run as usize + 1;
                if at > 63 {
                    return Some(());
                }
            }
        }
    }
}

/// The entry of a code that is longer than a look-up resolves.
#[cold]
fn long(table: &Table, buffer: u64) -> Option<Entry> {
    let bits = (buffer >> 48) as u32;
    let length = (FAST_BITS + 1..=16).find(|length| bits < table.beyond[*length as usize])?;
    let place = (bits >> (16 - length)) as i32 + table.offset[length as usize];
    table.symbols.get(place as usize).map(|symbol| entry(*symbol, length))
}
