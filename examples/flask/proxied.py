"""The site behind a proxy that tells the client's address in X-Forwarded-For.

rgunicorn takes the scheme from X-Forwarded-Proto by itself, but leaves REMOTE_ADDR what it is: only the
application knows how many proxies there are. Here it is one. Without a proxy, or behind one that speaks the PROXY
protocol, use `app:app`: whoever can reach this one directly can claim to be anybody.
"""

from werkzeug.middleware.proxy_fix import ProxyFix

from app import app

app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=0)
