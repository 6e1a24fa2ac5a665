// Runs a Bloblang mapping over the lines of a file: `benchmark-bloblang MAPPING LINES`.
//
// Reads a number of passes from each line of its standard input. 0 writes the document of each line, and then an empty
// line; any other number runs the loop over all lines that often, and writes its CPU time in nanoseconds. That of the
// garbage collector, in other threads, counts.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"log"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/redpanda-data/benthos/v4/public/bloblang"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
	"golang.org/x/net/publicsuffix"
)

func main() {
	source, err := os.ReadFile(os.Args[1])
	check(err)
	text, err := os.ReadFile(os.Args[2])
	check(err)
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	mapping, err := makeEnvironment().Parse(string(source))
	check(err)

	var out bytes.Buffer
	requests := bufio.NewScanner(os.Stdin)
	for requests.Scan() {
		passes, err := strconv.Atoi(requests.Text())
		check(err)
		if passes == 0 {
			run(mapping, lines, &out)
			out.WriteByte('\n')
			_, err := os.Stdout.Write(out.Bytes())
			check(err)
			continue
		}
		begin := cpuNanoseconds()
		for range passes {
			run(mapping, lines, &out)
		}
		fmt.Println(cpuNanoseconds() - begin)
	}
}

// Functions that Bloblang lacks and the documents need
func makeEnvironment() *bloblang.Environment {
	environment := bloblang.NewEnvironment()
	check(environment.RegisterMethodV2("remove_subdomains", bloblang.NewPluginSpec(),
		func(*bloblang.ParsedParams) (bloblang.Method, error) {
			return bloblang.StringMethod(func(host string) (any, error) {
				return publicsuffix.EffectiveTLDPlusOne(host)
			}), nil
		}))
	check(environment.RegisterMethodV2("is_ip", bloblang.NewPluginSpec(),
		func(*bloblang.ParsedParams) (bloblang.Method, error) {
			return bloblang.StringMethod(func(address string) (any, error) {
				_, err := netip.ParseAddr(address)
				return err == nil, nil
			}), nil
		}))
	return environment
}

func run(mapping *bloblang.Executor, lines []string, out *bytes.Buffer) {
	out.Reset()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for _, line := range lines {
		document, err := mapping.Query(line)
		check(err)
		check(encoder.Encode(document))
	}
}

func cpuNanoseconds() int64 {
	var used syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return used.Utime.Nano() + used.Stime.Nano()
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
