// A Raspberry Pi Pico by rp2040js, with what that lacks: a ROM's flash functions, the flash chip
// behind the SSI, XIP that is off while the flash is programmed, and a reset by the watchdog.
// SPDX-License-Identifier: Apache-2.0
//
// node rp2040.mjs MODULE BOOTLOADER.bin FLASH CONSOLE: MODULE is rp2040js's index.js.
// The bootloader lies at the start of the flash, whatever FLASH has there; FLASH is kept up to date.
// CONSOLE is a file descriptor. Lines on standard input: "go", "write ADDRESS HEX", "count START END
// LAYER..." (addresses, see Counter) and "counts".
// Sections named here are those of the RP2040 data sheet.
import fs from "node:fs";
import readline from "node:readline";
import { pathToFileURL } from "node:url";

const [module_, bootloader, flashFile, line] = process.argv.slice(2);
const { RP2040 } = (await import(pathToFileURL(module_))).default;

const CONSOLE = Number(line);
const XIP = 0x10000000, XIP_END = 0x14000000;
const BOOT2 = 0x20041f00; // 2.8.1.3: where the ROM copies the first 256 bytes to
const PAGE = 256, SECTOR = 4096, BLOCK = 0x10000;
const SLICE = 20000; // instructions between two looks at the outside
const IDLE_LOOKS = 200; // at an empty line within a slice: nothing else is done
const HOLD_MS = 500; // for whoever should read the console, and does not

function stop(message) {
    process.stderr.write(`rp2040js: ${message}\n`);
    process.exit(1);
}

const hex = (value) => "0x" + (value >>> 0).toString(16).padStart(8, "0");

// The flash chip: W25Q16JV data sheet, 8.1.2. Bits only go from 1 to 0, but for an erase.
const file = fs.openSync(flashFile, "r+");
const cells = fs.readFileSync(flashFile);
const boot = fs.readFileSync(bootloader);
boot.copy(cells);

function keep(at, count) {
    fs.writeSync(file, cells, at, count, at);
}

function erase(at, count) {
    cells.fill(0xff, at, at + count);
    keep(at, count);
}

function program(at, bytes) {
    bytes.forEach((byte, i) => (cells[at + i] &= byte));
    keep(at, bytes.length);
}

const UNIQUE_ID = [0xe6, 0x60, 0x58, 0x38, 0x83, 0x2b, 0x41, 0x2d];

// One command, from chip select to chip select: the answer to its bytes so far.
function answer(sent) {
    const at = sent.length - 1;
    return sent[0] === 0x4b && at >= 5 ? UNIQUE_ID[(at - 5) % 8] : 0xff;
}

// 4.10.13: the registers that matter here. Reads by XIP work as boot2 sets the SSI up, or not at
// all; frames of 8 bits are the bytes on the bus while chip select is held by IO_QSPI.
class Ssi {
    regs = new Map();
    direct = false; // frames of 8 bits
    constructor(chip) { this.chip = chip; }
    selected = false;
    sent = [];
    received = [];

    get isXip() {
        const of = (offset) => this.regs.get(offset) ?? 0;
        const divider = of(0x14);
        return of(0x08) === 1 && divider >= 2 && divider % 2 === 0 &&
            of(0x00) === ((31 << 16) | (3 << 8)) && of(0x04) === 0 &&
            of(0xf4) === ((0x03 << 24) | (2 << 8) | (6 << 2));
    }
    readUint32(offset) {
        if (offset === 0x28) return 0b110 | (this.received.length ? 0b1000 : 0);
        if (offset === 0x60) {
            if (!this.received.length) stop("the SSI is read, and nothing was received");
            return this.received.shift();
        }
        return this.regs.get(offset) ?? 0;
    }
    writeUint32Atomic(offset, value, type) {
        if (type !== 0) stop("the SSI has no atomic aliases (2.1.2)");
        if (offset === 0x60) {
            if (!this.direct || !this.selected) stop("bytes for a flash that is not selected");
            this.sent.push(value & 0xff);
            this.received.push(answer(this.sent));
            return;
        }
        if (offset !== 0x08 && this.regs.get(0x08)) stop("the SSI is set up while it is on");
        this.regs.set(offset, value);
        this.direct = false;
        if (this.isXip) this.chip.state = STATE.XIP;
        this.chip.settle();
    }
}

// 2.19.6.2: only chip select's override.
class IoQspi {
    control = 0;
    constructor(ssi) { this.ssi = ssi; }
    readUint32(offset) { return offset === 0x0c ? this.control : 0; }
    writeUint32Atomic(offset, value, type) {
        if (offset !== 0x0c || type !== 0) stop("IO_QSPI: only chip select is there");
        this.control = value;
        this.ssi.selected = ((value >> 8) & 3) === 2;
        this.ssi.sent = [];
    }
}

// 2.8: a table, a function that searches it, and functions. Each is "bx lr"; what it does happens
// when the processor comes to it. They are strict about order: 2.8.3.1.3.
const ROM_TABLE = 0x200, ROM_LOOKUP = 0x300, ROM_RESET = 0x304, ROM_FIRST = 0x310;
const STATE = { XIP: "in XIP mode", CONNECTED: "connected", COMMAND: "in command mode" };

function expect(chip, name, wanted) {
    if (chip.state !== wanted) stop(`${name}: expected the flash ${wanted}, it is ${chip.state}`);
}

const ROM = {
    IF(chip) { chip.state = STATE.CONNECTED; chip.ssi.direct = false; chip.settle(); },
    EX(chip) {
        expect(chip, "flash_exit_xip", STATE.CONNECTED);
        chip.state = STATE.COMMAND;
        chip.ssi.direct = true;
    },
    RE(chip, at, count, block, command) {
        expect(chip, "flash_range_erase", STATE.COMMAND);
        if (at % SECTOR || count % SECTOR || at + count > cells.length) stop("erase: not sectors");
        if (block !== BLOCK || command !== 0xd8) stop("erase: no block of this chip");
        erase(at, count);
        chip.stale = true;
    },
    RP(chip, at, from, count) {
        expect(chip, "flash_range_program", STATE.COMMAND);
        if (at % PAGE || count % PAGE || at + count > cells.length) stop("program: not pages");
        const bytes = Array.from({ length: count }, (_, i) => chip.mcu.readUint8(from + i));
        program(at, bytes);
        chip.stale = true;
    },
    FC(chip) {
        expect(chip, "flash_flush_cache", STATE.COMMAND);
        chip.stale = false;
        chip.io.control = 0;
        chip.ssi.selected = false;
    },
    CX(chip) {
        for (const [offset, value] of [[0x08, 0], [0x14, 6], [0x00, 0x1f0300], [0x04, 0],
            [0xf4, 0x03000218], [0x08, 1]]) chip.ssi.writeUint32Atomic(offset, value, 0);
    },
};

function crc32(bytes) { // 2.8.1.3.1
    let crc = 0xffffffff;
    for (const byte of bytes) {
        crc ^= byte << 24;
        for (let i = 0; i < 8; i++) crc = (crc << 1) ^ (crc < 0 ? 0x04c11db7 : 0);
    }
    return crc >>> 0;
}

// Instructions and cycles of each inference, told apart as icount.c does it: those of the function
// that runs the layers, at START to END, and those of each layer with all it calls.
class Counter {
    finished = []; // [instructions, cycles], each of the function and then of each layer
    constructor([start, end, ...layers]) {
        this.start = start;
        this.end = end;
        this.layers = new Map(layers.map((address, i) => [address, i + 1]));
        this.at = -1; // -1: between inferences, 0: in the function itself, else in that layer
    }
    // Before the instruction at `pc`.
    see(pc) {
        if (pc >= this.start && pc < this.end) {
            if (pc === this.start) {
                this.counts = new Array(this.layers.size + 1).fill(0);
                this.cycles = new Array(this.layers.size + 1).fill(0);
                this.isLast = this.layers.size === 0;
                this.at = 0;
            } else if (this.at >= 0) {
                this.at = 0; // a layer has returned
            }
        } else if (this.at >= 0 && this.layers.has(pc)) {
            this.at = this.layers.get(pc);
            this.isLast = this.at === this.layers.size;
        } else if (this.at === 0 && this.isLast) {
            this.finished.push([this.counts, this.cycles]);
            this.at = -1;
        }
    }
    add(cycles) {
        if (this.at < 0) return;
        this.counts[this.at]++;
        this.cycles[this.at] += cycles;
    }
}

class Machine {
    counter = null;
    clock = new RP2040().clock; // rp2040js exports its clock's class in no other way
    rx = [];
    tx = [];
    looks = 0;
    wantsReset = false;

    powerOn() {
        this.build(new Uint8Array(264 * 1024));
    }

    // What a reset by the watchdog does: all but RAM and the flash is new.
    build(sram) {
        const mcu = new RP2040(this.clock);
        this.mcu = mcu;
        mcu.logger = {
            debug() {}, info() {},
            warn(name, text) { stop(`${name}: ${text}, at ${hex(mcu.core.PC)}`); },
            error(name, text) { stop(`${name}: ${text}, at ${hex(mcu.core.PC)}`); },
        };
        mcu.sram.set(sram);
        mcu.onBreak = (code) => stop(`bkpt ${code} at ${hex(mcu.core.PC)}`);
        this.ssi = new Ssi(this);
        this.io = new IoQspi(this.ssi);
        mcu.peripherals[0x18000] = this.ssi;
        mcu.peripherals[0x40018] = this.io;
        mcu.peripherals[0x40058].onWatchdogTrigger = () => (this.wantsReset = true);
        this.stale = false;
        this.state = STATE.CONNECTED;
        this.readFlash(mcu);
        this.console(mcu.uart[0]);
        this.rom(mcu);
        this.settle();
        this.start(mcu);
    }

    readFlash(mcu) {
        const view = new DataView(cells.buffer, cells.byteOffset, cells.length);
        const size = cells.length;
        for (const [name, read] of [
            ["readUint32", (at) => view.getUint32(at, true)],
            ["readUint16", (at) => view.getUint16(at, true)],
            ["readUint8", (at) => cells[at]],
        ]) {
            const other = mcu[name].bind(mcu);
            mcu[name] = (address) => {
                if (address >= XIP && address < XIP_END) {
                    if (!this.readable) {
                        stop(`flash is read at ${hex(address)}, by ${hex(mcu.core.PC)}, ` +
                            (this.stale ? "and the cache was not flushed" : "while XIP is off"));
                    }
                    return read((address & 0xffffff) % size);
                }
                return other(address);
            };
        }
        const write = mcu.writeUint32.bind(mcu);
        mcu.writeUint32 = (address, value) => {
            if (address < 0x4000 || (address >= XIP && address < XIP_END)) {
                stop(`${hex(address)} is written by ${hex(mcu.core.PC)}`);
            }
            write(address, value);
        };
    }

    settle() {
        this.readable = this.state === STATE.XIP && !this.stale;
    }

    console(uart) {
        uart.onByte = (byte) => { this.tx.push(byte); this.looks = 0; };
        const read = uart.readUint32.bind(uart);
        uart.readUint32 = (offset) => {
            if (offset === 0x18 && uart.rxFIFO.empty) {
                if (this.rx.length) {
                    this.looks = 0;
                    uart.feedByte(this.rx.shift());
                } else {
                    this.looks++;
                }
            }
            return read(offset);
        };
    }

    rom(mcu) {
        const rom = new DataView(mcu.bootrom.buffer);
        rom.setUint32(0x10, 0x01754d, true); // "Mu", 1
        rom.setUint16(0x14, ROM_TABLE, true);
        rom.setUint16(0x18, ROM_LOOKUP | 1, true);
        rom.setUint16(ROM_LOOKUP, 0x4770, true);
        this.calls = new Map();
        Object.entries(ROM).forEach(([code, call], i) => {
            const at = ROM_FIRST + 2 * i;
            rom.setUint16(ROM_TABLE + 4 * i, code.charCodeAt(0) | (code.charCodeAt(1) << 8), true);
            rom.setUint16(ROM_TABLE + 4 * i + 2, at | 1, true);
            rom.setUint16(at, 0x4770, true);
            this.calls.set(at, call);
        });
    }

    // 2.8.1: what the ROM does with a flash that has a sound boot2.
    start(mcu) {
        const wanted = cells.readUInt32LE(252), is = crc32(cells.subarray(0, 252));
        if (is !== wanted) {
            stop(`boot2's checksum is ${hex(wanted)}, expected ${hex(is)}: no boot from flash`);
        }
        for (let i = 0; i < 256; i++) mcu.sram[BOOT2 - 0x20000000 + i] = cells[i];
        mcu.core.SP = 0x20042000; // not where the ROM has it, and boot2 must not care
        mcu.core.LR = 0;
        mcu.core.PC = BOOT2;
    }

    romCall(core) {
        const [r0, r1, r2, r3] = core.registers;
        if (core.PC === ROM_LOOKUP) {
            if (r0 !== ROM_TABLE) stop(`the ROM's lookup in a table at ${hex(r0)}`);
            const at = [...Object.keys(ROM)].findIndex(
                (code) => (code.charCodeAt(0) | (code.charCodeAt(1) << 8)) === r1);
            core.registers[0] = at < 0 ? 0 : (ROM_FIRST + 2 * at) | 1;
        } else if (this.calls.has(core.PC)) {
            this.calls.get(core.PC)(this, r0, r1, r2, r3);
            this.settle();
        } else {
            stop(`runs in the ROM at ${hex(core.PC)}`);
        }
    }

    // A slice; whether nothing happens but looks at the console.
    run() {
        const nanos = 1e9 / 125e6;
        let core = this.mcu.core, waiting = 0;
        this.looks = 0;
        for (let i = 0; i < SLICE; i++) {
            if (core.PC < 0x4000) this.romCall(core);
            this.counter?.see(core.PC);
            const cycles = core.executeInstruction();
            this.counter?.add(cycles);
            waiting += cycles;
            if (waiting >= 125 || core.waiting) {
                this.clock.tick(waiting * nanos);
                waiting = 0;
            }
            if (this.wantsReset) {
                this.wantsReset = false;
                this.build(this.mcu.sram);
                core = this.mcu.core;
            }
        }
        this.clock.tick(waiting * nanos);
        return this.looks > IDLE_LOOKS && this.rx.length === 0;
    }
}

const machine = new Machine();
machine.powerOn();

const taken = Buffer.alloc(4096);
let held = 0;

function take() {
    try {
        const count = fs.readSync(CONSOLE, taken);
        for (let i = 0; i < count; i++) machine.rx.push(taken[i]);
    } catch (e) {
        if (e.code !== "EAGAIN") stop(`console: ${e.message}`);
    }
}

// True when all that was said has been taken, or nobody takes it.
function give() {
    if (!machine.tx.length) return true;
    try {
        const count = fs.writeSync(CONSOLE, Buffer.from(machine.tx));
        machine.tx.splice(0, count);
        held = 0;
    } catch (e) {
        if (e.code !== "EAGAIN") stop(`console: ${e.message}`);
        held = held || Date.now();
        if (Date.now() - held > HOLD_MS) machine.tx = [];
    }
    return !machine.tx.length;
}

let running = false;

function work() {
    if (!running) return;
    take();
    const rests = give() && machine.run();
    give();
    if (rests || machine.tx.length) setTimeout(work, 1);
    else setImmediate(work);
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
    const [word, ...args] = line.split(" ");
    if (word === "go") {
        if (!running) setImmediate(work);
        running = true;
    } else if (word === "write") {
        running = false;
        const at = parseInt(args[0], 16);
        Buffer.from(args[1], "hex").forEach((byte, i) => {
            if (at >= XIP) {
                if (at + i < 0x20000000) cells[at + i - XIP] = byte;
                else machine.mcu.sram[at + i - 0x20000000] = byte;
            }
        });
        process.stdout.write("done\n");
    } else if (word === "count") {
        machine.counter = new Counter(args.map((address) => parseInt(address, 16)));
    } else if (word === "counts") {
        process.stdout.write(JSON.stringify(machine.counter.finished) + "\n");
    }
}).on("close", () => process.exit(0));
process.stdout.write("ready\n");
