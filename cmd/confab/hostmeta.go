package main

import (
	"net"
	"strings"

	"github.com/spf13/cobra"

	"confab/cmd/internal/config"
	"confab/xmpp/web"
)

func (a *app) configHostMeta() *cobra.Command {
	return settingFlags(&cobra.Command{
		Use:   "host-meta",
		Short: "Print what to put on the domain's web server",
		Long: `Print two files for the web server of the mail domain, which tell clients in
browsers where they can connect (XEP-0156): host-meta and host-meta.json. They
are fetched from https://DOMAIN/.well-known/, which is the web site of the domain
and seldom confab; confab serves them too, so the web server can proxy these two
addresses just as well. What each web server needs for either is printed as
comments.`,
		Example: `  confab config host-meta --web-url https://chat.example.com:5443`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := a.source(c).Load()
			if err != nil {
				return err
			}
			if len(l.Domains) == 0 {
				return usagef("no mail domain is named: say --domains example.com")
			}
			if !l.HasWeb() {
				return usagef("nothing is served over HTTP: see the settings listen.https and listen.http")
			}
			printed := map[string]bool{}
			for _, domain := range l.Domains {
				address := webAddress(l, domain)
				if !printed[address] {
					a.printHostMeta(l, domain, address)
					printed[address] = true
				}
			}
			return nil
		},
	})
}

// webAddress is how the users of a domain reach the web side, by the settings alone.
func webAddress(l *config.Loaded, domain string) string {
	port := ""
	if len(l.Listen.HTTPS) > 0 {
		_, port, _ = net.SplitHostPort(l.Listen.HTTPS[0])
	}
	return l.WebURL(domain, port)
}

func (a *app) printHostMeta(l *config.Loaded, domain, address string) {
	names := []string{domain}
	if l.Web.URL != "" {
		names = l.Domains // all share the address
	}
	for _, name := range names {
		name = config.ASCII(name)
		a.printf("# https://%s%s   (Content-Type: application/xrd+xml)\n", name, web.HostMetaPath)
		a.printf("# https://%s%s   (Content-Type: application/json)\n", name, web.HostMetaJSONPath)
	}
	a.printf("\n# .well-known/host-meta:\n%s\n# .well-known/host-meta.json:\n%s\n", web.HostMetaXML(address), web.HostMetaJSON(address))
	a.printf("%s", strings.NewReplacer("ADDRESS", address, "HOST", strings.TrimPrefix(address, "https://")).Replace(webServers))
}

// webServers says how the files are served, or fetched from confab.
const webServers = `# Every site may read them (CORS). With the files below /var/www/.well-known:
#   nginx:   location = /.well-known/host-meta      { default_type application/xrd+xml; add_header Access-Control-Allow-Origin *; }
#            location = /.well-known/host-meta.json { default_type application/json;    add_header Access-Control-Allow-Origin *; }
#   Apache:  <LocationMatch "^/\.well-known/host-meta(\.json)?$">
#              Header set Access-Control-Allow-Origin "*"
#            </LocationMatch>
#            <Location "/.well-known/host-meta">
#              ForceType application/xrd+xml
#            </Location>
#            <Location "/.well-known/host-meta.json">
#              ForceType application/json
#            </Location>
#   Caddy:   header /.well-known/host-meta* Access-Control-Allow-Origin *
#            header /.well-known/host-meta Content-Type application/xrd+xml
# or without files, from confab:
#   nginx:   location ~ ^/\.well-known/host-meta(\.json)?$ { proxy_pass ADDRESS; proxy_ssl_server_name on; }
#   Apache:  SSLProxyEngine on
#            ProxyPass /.well-known/host-meta.json ADDRESS/.well-known/host-meta.json
#            ProxyPass /.well-known/host-meta ADDRESS/.well-known/host-meta
#   Caddy:   reverse_proxy /.well-known/host-meta* ADDRESS {
#              header_up Host HOST
#            }
# Then try: curl -i https://DOMAIN/.well-known/host-meta
`
