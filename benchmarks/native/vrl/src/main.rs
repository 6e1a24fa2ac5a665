//! Runs a VRL program over the lines of a file: `benchmark-vrl PROGRAM LINES`.
//!
//! Reads a number of passes from each line of its standard input. 0 writes the document of each line, and then an empty
//! line; any other number runs the loop over all lines that often, and writes its CPU time in nanoseconds.

use std::error::Error;
use std::io::{stdin, stdout, BufRead, Write};
use std::{env, fs};

use vrl::compiler::{compile, Program, TargetValue, TimeZone};
use vrl::core::Value;
use vrl::prelude::*;
use vrl::value::Secrets;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().collect();
    let source = fs::read_to_string(&arguments[1])?;
    let text = fs::read_to_string(&arguments[2])?;
    let lines: Vec<&str> = text.lines().collect();
    let program = match compile(&source, &vrl::stdlib::all()) {
        Ok(result) => result.program,
        Err(diagnostics) => {
            let message = vrl::diagnostic::Formatter::new(&source, diagnostics).to_string();
            return Err(message.into());
        }
    };
    let mut out = Vec::new();
    for request in stdin().lock().lines() {
        let passes: u32 = request?.trim().parse()?;
        if passes == 0 {
            run(&program, &lines, &mut out)?;
            out.push(b'\n');
            stdout().write_all(&out)?;
        } else {
            let begin = cpu_nanoseconds();
            for _ in 0..passes {
                run(&program, &lines, &mut out)?;
            }
            println!("{}", cpu_nanoseconds() - begin);
        }
        stdout().flush()?;
    }
    Ok(())
}

fn run(program: &Program, lines: &[&str], out: &mut Vec<u8>) -> Result<(), Box<dyn Error>> {
    out.clear();
    let timezone = TimeZone::default();
    let mut runtime = vrl::compiler::runtime::Runtime::default();
    for line in lines {
        let mut event = ObjectMap::new();
        event.insert("message".into(), Value::from(*line));
        let mut target = TargetValue {
            value: Value::Object(event),
            metadata: Value::Object(ObjectMap::new()),
            secrets: Secrets::default(),
        };
        runtime.resolve(&mut target, program, &timezone).map_err(|error| error.to_string())?;
        runtime.clear();
        serde_json::to_writer(&mut *out, &target.value)?;
        out.push(b'\n');
    }
    Ok(())
}

fn cpu_nanoseconds() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a timespec that outlives the call
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) }, 0);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
