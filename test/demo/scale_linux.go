package main

import (
	"context"
	"errors"
	"fmt"
)

// addMany adds a thousand Services in one file.
func (d *demo) addMany(ctx context.Context) error {
	services := manyServices(many)
	d.say("One file with %s Services, at %s to %s,", thousands(many), services[0].vip, services[many-1].vip)
	d.say("each with one endpoint. %s comes back, too.\n ", endpoints[2])
	if err := errors.Join(d.change("three-endpoints.yaml"), d.write("many.yaml", manifestOf(services))); err != nil {
		return err
	}
	took, err := d.wait(ctx, "all Services are in the kernel", func() (bool, error) { return d.complete(services) })
	if err != nil {
		return err
	}
	d.check(nil, "all %s were in the kernel's table %s after the file was there", thousands(many+1), seconds(took))
	d.check(d.askAll(ctx, services), "each of the %s new VIPs answers, from the endpoint that is meant", thousands(many))
	back := d.from(ctx, d.client.Namespace, 30)
	d.check(back.each(10, endpoints), "the first Service has its three endpoints back: 10 of 30 requests each")
	rules, err := d.node.RuleCount(ctx)
	if err != nil {
		return err
	}
	low1, high1 := iptablesMode(1, 1)
	low, high := iptablesMode(many+1, many+len(endpoints))
	d.say("\n%s\n ", grid([][]string{
		{"IPTABLES RULES", "1 SERVICE", thousands(many+1) + " SERVICES"},
		{"Fairlead", fmt.Sprint(d.rules), fmt.Sprint(rules)},
		{"kube-proxy, iptables mode", fmt.Sprintf("%d to %d", low1, high1), thousands(low) + " to " + thousands(high)},
	}))
	d.check(unless(rules == d.rules, "there were %d, now there are %d", d.rules, rules),
		"the number of iptables rules is the same as with one Service")
	return nil
}

// complete tells whether every Service is in the table, each with its endpoint and nothing else.
func (d *demo) complete(services []manyService) (bool, error) {
	table, err := d.table()
	if err != nil || len(table) != len(services)+1 {
		return false, err
	}
	endpoint := make(map[string]string)
	for _, v := range table {
		if len(v.reals) == 1 && v.reals[0].weight == 1 {
			endpoint[v.addr.String()] = v.reals[0].addr.Addr().String()
		}
	}
	for _, s := range services {
		if endpoint[s.addr()] != s.endpoint {
			return false, nil
		}
	}
	return len(find(table, service).weights()) == len(endpoints), nil
}

// askAll sends one request to each Service.
func (d *demo) askAll(ctx context.Context, services []manyService) error {
	client := browser(d.client.Namespace)
	var errs []error
	for _, s := range services {
		answer, err := ask(ctx, client, s.addr())
		if err == nil {
			err = unless(answer.Server == s.endpoint, "%s: %s answers", s.name, answer.Server)
		}
		if err != nil {
			errs = append(errs, err)
		}
		if ctx.Err() != nil {
			break
		}
	}
	return shortened(errs)
}
