package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/fairlead-lb/fairlead/test/bench/dataset"
	"github.com/fairlead-lb/fairlead/test/bench/result"
	"github.com/fairlead-lb/fairlead/test/lab"
)

// measureCommand measures one part, behind test/cluster and inside test/vm. It leaves the files setup.json and
// samples.jsonl in $FAIRLEAD_VM_RESULTS.
func measureCommand(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("bench measure", flag.ContinueOnError)
	m := &measurement{}
	addPlan(flags, &m.plan)
	addPart(flags, &m.part)
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := errors.Join(lab.Supported(), lab.HasIPVS()); err != nil {
		return err
	}
	results := os.Getenv("FAIRLEAD_VM_RESULTS")
	if results == "" {
		return errors.New("FAIRLEAD_VM_RESULTS is not set: run this behind test/vm, as make bench does")
	}
	if err := answerAll(); err != nil {
		return err
	}
	setup, err := json.Marshal(thisMachine())
	if err != nil {
		return fmt.Errorf("describe the machine: %w", err)
	}
	if err := os.WriteFile(filepath.Join(results, setupFile), setup, 0o644); err != nil {
		return fmt.Errorf("describe the machine: %w", err)
	}
	samples, err := os.Create(filepath.Join(results, samplesFile))
	if err != nil {
		return fmt.Errorf("make the file of samples: %w", err)
	}
	defer func() { err = errors.Join(err, samples.Close()) }()
	m.record = &record{samples: samples, say: sayTo(out)}
	err = m.record.add(result.Sample{
		Row: "machine", Subject: "vm", Services: m.services, Metric: "calibration", Unit: "s", Value: calibrate().Seconds(),
	})
	if err != nil {
		return err
	}
	return m.measure(ctx)
}

// measure measures the part. The cluster is there.
func (m *measurement) measure(ctx context.Context) (err error) {
	m.effort = m.plan.effort()
	if m.cluster, err = newCluster(m.services); err != nil {
		return err
	}
	if m.dir, err = os.MkdirTemp("", "fairlead-bench-"); err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(m.dir)) }()
	return m.all(ctx)
}

// answerAll lets the kernel say of every packet for a VIP that nobody serves that it is unreachable. Otherwise it does so
// once a second, and a probe that gets no answer waits for as long (ip_error, net/ipv4/route.c). This holds for all network
// namespaces.
func answerAll() error {
	if err := os.WriteFile("/proc/sys/net/ipv4/route/error_cost", []byte("0"), 0o644); err != nil {
		return fmt.Errorf("have every packet answered: %w", err)
	}
	return nil
}

// machine is what the VM knows of a result's setup.
type machine struct {
	Kernel    string `json:"kernel"`
	Processor string `json:"processor"`
	CPUs      int    `json:"cpus"`
	Emulated  bool   `json:"emulated"`
	Endpoints int    `json:"endpointsPerService"`
}

// thisMachine describes the machine that this runs on.
func thisMachine() machine {
	s := machine{CPUs: runtime.NumCPU(), Endpoints: dataset.EndpointsPerService}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		s.Kernel = unix.ByteSliceToString(name.Sysname[:]) + " " + unix.ByteSliceToString(name.Release[:])
	}
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return s
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == "model name" {
			s.Processor = strings.TrimSpace(value)
			s.Emulated = strings.Contains(s.Processor, "TCG") // QEMU's name for its own interpretation
			break
		}
	}
	return s
}
