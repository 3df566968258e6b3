package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// startDaemon runs Fairlead on the node, and shows what one Service costs.
func (d *demo) startDaemon(ctx context.Context) (err error) {
	if err := d.prepare(); err != nil {
		return err
	}
	d.say("fairlead runs on the node and reads its Services from files: manifests/service.yaml")
	d.say("and manifests/endpoints.yaml, as kubectl would take them.\n ")
	if d.daemon, err = start(d.node.Namespace, d.fairlead, d.dir); err != nil {
		return err
	}
	took, err := d.wait(ctx, "/healthz says that all is well", func() (bool, error) { return d.healthy(ctx), nil })
	if err != nil {
		return err
	}
	d.check(nil, "/healthz answers 200, %s after the start", seconds(took))
	answer, err := ask(ctx, browser(d.client.Namespace), service)
	d.check(errors.Join(err, unless(answer.Server == endpoints[0], "%q answers", answer.Server)),
		"now %s answers at the VIP", endpoints[0])
	d.say("\nThe kernel's table of virtual servers (ipvsadm -Ln):")
	if err := d.show(ctx); err != nil {
		return err
	}
	table, err := d.table()
	d.check(errors.Join(err, unless(len(table) == 1, "there are %d", len(table)),
		unless(len(find(table, service).weights()) == 1, "%v", find(table, service).weights())),
		"one line for the Service, one for each endpoint behind it; rr: they take turns")
	if d.rules, err = d.node.RuleCount(ctx); err != nil {
		return err
	}
	low, high := iptablesMode(1, 1)
	d.say("OPEN and CLOSED count connections; the kernel remembers closed ones for a moment.")
	d.say("\niptables rules: %d, IPv4 and IPv6 together, for masquerading and a guard. kube-proxy in", d.rules)
	d.say("iptables mode balances with rules: 2 per Service and 2 or 3 per endpoint, so %d or %d here.", low, high)
	d.say("Ours are more now. Watch how the number changes.")
	return nil
}

// shareOut adds two endpoints and sends requests from everywhere.
func (d *demo) shareOut(ctx context.Context) error {
	d.say("We write three endpoints to manifests/endpoints.yaml. The daemon follows by itself.\n ")
	if err := d.change("three-endpoints.yaml"); err != nil {
		return err
	}
	want := map[string]int{endpoints[0]: 1, endpoints[1]: 1, endpoints[2]: 1}
	took, err := d.wait(ctx, "the kernel has three endpoints", d.sends(want))
	if err != nil {
		return err
	}
	d.check(nil, "the kernel had the new endpoints %s after the file was there", seconds(took))
	if err := d.show(ctx); err != nil {
		return err
	}
	low, high := iptablesMode(1, len(endpoints))
	d.say("kube-proxy in iptables mode would have %d to %d rules by now, and throw dice: the first endpoint", low, high)
	d.say("with probability 1/3, else the second with 1/2, else the third with 1. Round robin needs no")
	d.say("luck. 300 requests of the client pod:\n ")
	own := d.from(ctx, d.client.Namespace, 300)
	d.say("%s\n ", own.bars())
	d.check(own.each(100, endpoints), "exactly 100 of 300 requests for each endpoint")
	node := d.from(ctx, d.node.Namespace, 30)
	d.check(node.each(10, endpoints), "30 requests of the node itself: 10 for each")
	outside := d.from(ctx, d.outside.Namespace, 30)
	d.check(outside.each(10, endpoints), "30 requests of the outside client: 10 for each")
	return d.addresses(ctx, own, node, outside)
}

func (d *demo) from(ctx context.Context, from *lab.Namespace, n int) tally {
	return askMany(ctx, from, service, n)
}

// addresses shows as whom the endpoints saw their clients.
func (d *demo) addresses(ctx context.Context, own, node, outside tally) error {
	self, err := d.hairpin(ctx, endpoints[0])
	if err != nil {
		return err
	}
	d.say("\nAs whom did the endpoints see their clients?\n ")
	d.say("%s\n ", grid([][]string{
		{"CLIENT", "SEEN AS", "WHY"},
		{"pod " + clientPod, seen(own), "its own address: nothing is in the way"},
		{"node", seen(node), "its own address, never the VIP"},
		{"outside client", seen(outside), "the node's: the answer must come back this way"},
		{endpoints[0] + ", by itself", self.String(), "the node's: it would not accept a packet from itself"},
	}))
	d.check(own.sawOnly(d.client.Addr4()), "the client pod is seen as itself, %s", d.client.Addr4())
	d.check(errors.Join(node.sawOnly(d.node.Addr4), outside.sawOnly(d.node.Addr4)),
		"the node and the outside client are seen as the node, %s", d.node.Addr4)
	d.check(unless(self == d.node.Addr4, "it saw %s", self),
		"an endpoint that was sent to itself was answered, and saw the node (hairpin)")
	return nil
}

// seen is the client address of a tally, or all of them where there should be one.
func seen(t tally) string {
	for addr := range t.clients {
		if len(t.clients) == 1 {
			return addr
		}
	}
	return fmt.Sprint(t.clients)
}

// hairpin lets an endpoint call the VIP until it reaches itself, and returns the client address that it saw.
func (d *demo) hairpin(ctx context.Context, endpoint string) (netip.Addr, error) {
	client := browser(d.pods[endpoint].Namespace)
	for range len(endpoints) {
		answer, err := ask(ctx, client, service)
		if err != nil {
			return netip.Addr{}, fmt.Errorf("%s calls the VIP: %w", endpoint, err)
		}
		if answer.Server == endpoint {
			return answer.Client.Addr(), nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s did not reach itself in %d requests", endpoint, len(endpoints))
}
