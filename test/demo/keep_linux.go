package main

// lookAround says how to look into the running demo.
func (d *demo) lookAround() {
	inside := "ip netns exec " + d.node.Name
	d.say("\nEverything runs on until you press Ctrl-C; then the last step follows. Look around:\n ")
	for _, command := range []string{
		inside + " ipvsadm -Ln",
		inside + " ipvsadm -Lnc",
		inside + " ip addr show kube-ipvs0",
		inside + " iptables-save",
		inside + " ipset list",
		inside + " curl -s http://127.0.0.1:10249/metrics",
		"ip netns exec " + d.client.Name + " curl -s http://" + service + "/",
		"ip netns exec " + d.outside.Name + " curl -s http://" + service + "/",
		"tail -f " + d.daemon.log,
	} {
		d.say("  %s", command)
	}
	d.say("\nThe manifests are in %s/%s: change them and see.", d.dir, daemonFiles)
}
