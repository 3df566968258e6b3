package main

import (
	"context"
	"fmt"
	"maps"
	"os"

	"github.com/fairlead-lb/fairlead/test/lab"
)

// picture has the addresses that the lab gives out; layOut checks them.
const picture = `
                      outside client 192.168.77.100
                                  |
                                  |  knows one route: 172.30.0.0/16 is at the node
                                  |
  +----------------------- node 192.168.77.10 -----------------------+
  |                                                                  |
  |    Service myproject/golang-ex, at the VIP 172.30.15.111:8080    |
  |                                                                  |
  +-----+-----------------+-----------------+-----------------+------+
        |                 |                 |                 |
   172.17.0.2        172.17.0.5        172.17.0.6        172.17.0.9
    endpoint          endpoint          endpoint         client pod

 An endpoint is a pod with a web server that says who it is and whom it sees.
 The VIP belongs to no machine: something must turn it into one of the endpoints.
`

// layOut builds the cluster, with a web server in every endpoint.
func (d *demo) layOut(ctx context.Context) (err error) {
	if d.lab, err = lab.Create(ctx, lab.Options{}); err != nil {
		return err
	}
	if d.node, err = d.lab.AddNode("node", "172.17.0.0/16"); err != nil {
		return err
	}
	for _, addr := range endpoints {
		if d.pods[addr], err = d.node.AddPod("pod-"+addr, addr); err != nil {
			return err
		}
		if _, err := d.pods[addr].ServeHTTP(addr+":8080", addr); err != nil {
			return err
		}
	}
	if d.client, err = d.node.AddPod("client-pod", clientPod); err != nil {
		return err
	}
	if d.outside, err = d.lab.AddClient("outside"); err != nil {
		return err
	}
	if err := d.outside.AddRoute(vips, d.node); err != nil {
		return err
	}
	d.say("%s", picture[1:])
	d.check(unless(d.node.Addr4.String() == "192.168.77.10" && d.outside.Addr4.String() == "192.168.77.100",
		"they have %s and %s", d.node.Addr4, d.outside.Addr4), "the machines have the addresses in the picture")
	d.check(d.directly(ctx), "every endpoint answers the client pod at its own address")
	_, err = ask(ctx, browser(d.outside.Namespace), service)
	d.check(unless(err != nil, "somebody does"), "nobody answers at the VIP yet")
	d.clean, err = d.node.Dump(ctx)
	return err
}

// directly asks every endpoint at its own address.
func (d *demo) directly(ctx context.Context) error {
	for _, addr := range endpoints {
		answer, err := ask(ctx, browser(d.client.Namespace), addr+":8080")
		if err != nil {
			return err
		}
		if answer.Server != addr {
			return fmt.Errorf("%s calls itself %s", addr, answer.Server)
		}
	}
	return nil
}

// table reads the virtual servers from the node's /proc, which is quick enough for polling.
func (d *demo) table() (table []virtualServer, err error) {
	err = d.node.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/ip_vs")
		if err != nil {
			return err
		}
		table, err = parseTable(string(text))
		return err
	})
	return table, err
}

// sends tells whether the Service's virtual server sends connections exactly so: weight by endpoint.
func (d *demo) sends(want map[string]int) func() (bool, error) {
	return func() (bool, error) {
		table, err := d.table()
		return maps.Equal(find(table, service).weights(), want), err
	}
}

// show prints the Service's virtual server as ipvsadm, the operator's tool, sees it.
func (d *demo) show(ctx context.Context) error {
	text, err := d.node.Run(ctx, "ipvsadm", "-Ln")
	if err != nil {
		return err
	}
	table, err := parseTable(text)
	if err != nil {
		return err
	}
	d.say("\n%s\n ", grid(find(table, service).rows()))
	return nil
}
