package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// atOnce is how fast a refusal must be. A timeout takes longer by far.
const atOnce = time.Second

// removeService takes the Service away under an open connection, and then removes Fairlead.
func (d *demo) removeService(ctx context.Context) error {
	endpoint := endpoints[0]
	conn, err := openTo(ctx, d.client.Namespace, service, endpoint)
	if err != nil {
		return err
	}
	defer conn.conn.Close()
	d.say("The client pod keeps a connection open, and the Service's manifests are deleted.\n ")
	for _, name := range []string{"service.yaml", "endpoints.yaml"} {
		if err := os.Remove(filepath.Join(d.dir, daemonFiles, name)); err != nil {
			return err
		}
	}
	took, err := d.wait(ctx, "no endpoint gets new connections", func() (bool, error) {
		table, err := d.table()
		v := find(table, service)
		return v == nil || v.idle(), err
	})
	if err != nil {
		return err
	}
	d.check(d.refused(ctx), "%s later new connections are refused at once", seconds(took))
	d.check(d.stillAnswers(ctx, conn, endpoint), "the open connection to %s still answers", endpoint)
	if err := conn.conn.Close(); err != nil {
		return err
	}
	took, err = d.wait(ctx, "the Service is gone from the table", func() (bool, error) {
		table, err := d.table()
		return find(table, service) == nil, err
	})
	if err != nil {
		return err
	}
	d.check(nil, "the Service was gone from the table %s after the client closed it", seconds(took))
	return d.stopDaemon(ctx)
}

// refused tries from three sides.
func (d *demo) refused(ctx context.Context) error {
	var errs []error
	for _, from := range []*lab.Namespace{d.client.Namespace, d.node.Namespace, d.outside.Namespace} {
		started := time.Now()
		_, err := ask(ctx, browser(from), service)
		took := time.Since(started)
		errs = append(errs, unless(lab.Refused(err) && took < atOnce, "%s: %v after %s", from.Name, err, seconds(took)))
	}
	return errors.Join(errs...)
}

// stopDaemon ends the daemon, which leaves the kernel as it is, and cleans up.
func (d *demo) stopDaemon(ctx context.Context) error {
	before, err := d.node.Dump(ctx)
	if err != nil {
		return err
	}
	if err := d.daemon.stop(ctx); err != nil {
		return err
	}
	after, err := d.node.Dump(ctx)
	if err != nil {
		return err
	}
	d.say("\nThe daemon gets SIGTERM, as in an upgrade.\n ")
	d.check(differ(before, after), "it ended with status 0 and left the kernel as it was")
	d.check(d.askAll(ctx, manyServices(30)), "Services answer without it, too (the first 30 of %s)", thousands(many))
	d.say("\nFor good: fairlead cleanup\n ")
	started := time.Now()
	text, err := d.cleanup(ctx)
	if err != nil {
		return err
	}
	d.say("%s\n ", text)
	d.check(nil, "cleanup ended with status 0 after %s", seconds(time.Since(started)))
	end, err := d.node.Dump(ctx)
	if err != nil {
		return err
	}
	d.check(differ(d.clean, end), "the node is as before: no virtual server, address, route, rule or ipset is left")
	return nil
}

// cleanup runs `fairlead cleanup` in the node's namespace.
func (d *demo) cleanup(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, waitLimit)
	defer cancel()
	cmd := d.node.Command(ctx, d.fairlead, "cleanup", "--config", "fairlead.yaml")
	cmd.Dir = d.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("fairlead cleanup: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return strings.TrimSpace(string(out)), nil
}

// differ is nil if both dumps are the same, and otherwise names the parts that are not and a line of each.
func differ(a, b lab.Dump) error {
	if a == b {
		return nil
	}
	var errs []error
	for _, part := range []struct{ name, a, b string }{
		{"IPVS", a.IPVS, b.IPVS}, {"iptables", a.Iptables4, b.Iptables4}, {"ip6tables", a.Iptables6, b.Iptables6},
		{"ipset", a.Ipset, b.Ipset}, {"devices", a.Links, b.Links}, {"addresses", a.Addrs, b.Addrs}, {"routes", a.Routes, b.Routes},
	} {
		errs = append(errs, unless(part.a == part.b, "%s: %s", part.name, firstDifference(part.a, part.b)))
	}
	return errors.Join(errs...)
}
