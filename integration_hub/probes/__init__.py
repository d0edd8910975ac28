"""How do load balancers, service managers and monitors ask whether the hub works?"""
