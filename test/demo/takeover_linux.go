package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// takeOver puts kube-proxy's own rules for the Service in force, and lets Fairlead take their place while a client
// talks.
func (d *demo) takeOver(ctx context.Context) error {
	if err := d.otherProxy(ctx); err != nil {
		return err
	}
	if err := d.compare(ctx); err != nil {
		return err
	}
	endpoint := endpoints[0]
	conn, err := openSomewhere(ctx, d.client.Namespace, endpoint)
	if err != nil {
		return err
	}
	defer conn.conn.Close()
	d.say("\nThe client pod keeps a connection open to %s, and opens new ones all the time.", endpoint)
	d.say("Meanwhile fairlead run starts.\n ")
	stream := d.talk(ctx)
	if d.daemon, err = start(d.node.Namespace, d.fairlead, d.dir); err != nil {
		return err
	}
	took, err := d.wait(ctx, "kube-proxy's rules are gone", func() (bool, error) {
		text, err := d.node.Run(ctx, "iptables-save")
		return !strings.Contains(text, "KUBE-SVC"), err
	})
	if err != nil {
		return err
	}
	during := stream()
	d.check(nil, "%s after the start none of kube-proxy's rules is left", seconds(took))
	d.check(errors.Join(during.errs...), "%d connections were opened meanwhile, and not one failed", during.all())
	d.check(d.stillAnswers(ctx, conn, endpoint), "the open connection to %s still answers", endpoint)
	if err := d.show(ctx); err != nil {
		return err
	}
	own := d.from(ctx, d.client.Namespace, 30)
	d.check(own.each(10, endpoints), "no more dice: exactly 10 of 30 requests for each endpoint")
	return d.end(ctx)
}

// otherProxy restores kube-proxy's rules, which serve.
func (d *demo) otherProxy(ctx context.Context) error {
	rules, err := files.ReadFile("kube-proxy.rules")
	if err != nil {
		return err
	}
	cmd := d.node.Command(ctx, "iptables-restore", "--noflush")
	cmd.Stdin = bytes.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("iptables-restore: %w: %s", err, out)
	}
	d.say("The node is clean. iptables-restore puts %d rules in force that kube-proxy has written", strings.Count(string(rules), "\n-A "))
	d.say("for the same Service: on this node kube-proxy served until now.\n ")
	before := d.from(ctx, d.client.Namespace, 30)
	d.check(errors.Join(before.errs...), "30 requests are answered by dice: %v", before.answers)
	for name, file := range map[string]string{"service.yaml": "manifests/service.yaml", "endpoints.yaml": "changes/three-endpoints.yaml"} {
		text, err := files.ReadFile(file)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(d.dir, daemonFiles, name), text, 0o644); err != nil {
			return err
		}
	}
	return d.forget()
}

// forget removes the manifests of the first act's many Services.
func (d *demo) forget() error {
	entries, err := os.ReadDir(filepath.Join(d.dir, daemonFiles))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == "service.yaml" || e.Name() == "endpoints.yaml" {
			continue
		}
		if err := os.Remove(filepath.Join(d.dir, daemonFiles, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// compare asks Fairlead first what would be different.
func (d *demo) compare(ctx context.Context) error {
	cmd := d.node.Command(ctx, d.fairlead, "run", "--config", "fairlead.yaml", "--shadow")
	cmd.Dir = d.dir
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	d.say("\nWhat would be different? fairlead run --shadow writes nothing, and says:\n ")
	d.say("  %s\n ", strings.TrimSpace(out.String()))
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(log.String()))
	}
	d.check(err, "it would send clients where kube-proxy sends them")
	return nil
}

// openSomewhere opens connections until one leads to the endpoint: dice decide.
func openSomewhere(ctx context.Context, from *lab.Namespace, endpoint string) (o *open, err error) {
	for range 20 {
		if o, err = openTo(ctx, from, service, endpoint); err == nil {
			return o, nil
		}
	}
	return nil, err
}

// talk opens connections until the function that it returns is called, which tells what came of them.
func (d *demo) talk(ctx context.Context) (stop func() tally) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan tally)
	go func() {
		all := tally{answers: make(map[string]int), clients: make(map[string]int)}
		for ctx.Err() == nil {
			one := askMany(context.WithoutCancel(ctx), d.client.Namespace, service, 1)
			all.errs = append(all.errs, one.errs...)
			for name, n := range one.answers {
				all.answers[name] += n
			}
		}
		done <- all
	}()
	return func() tally {
		cancel()
		return <-done
	}
}

// all is how many requests were answered.
func (t tally) all() (n int) {
	for _, answers := range t.answers {
		n += answers
	}
	return n
}

// end removes Fairlead, and what kube-proxy left is not there any more either.
func (d *demo) end(ctx context.Context) error {
	if err := d.daemon.stop(ctx); err != nil {
		return err
	}
	if _, err := d.cleanup(ctx); err != nil {
		return err
	}
	end, err := d.node.Dump(ctx)
	if err != nil {
		return err
	}
	d.check(differ(d.clean, end), "after fairlead cleanup the node is as before both: nothing is left of either")
	return nil
}
