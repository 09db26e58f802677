"""Where OpenID Connect clients look first: https://openid.net/specs/openid-connect-discovery-1_0.html"""

from __future__ import annotations

from flask import Blueprint, Response, jsonify

from app.interactions import Services
from app.smart.discovery import openid_configuration


def blueprint(services: Services) -> Blueprint:
    """/.well-known/openid-configuration"""
    known = Blueprint("known", __name__)

    @known.get("/.well-known/openid-configuration")
    def openid() -> Response:
        response = jsonify(openid_configuration(services.settings))
        response.headers["Access-Control-Allow-Origin"] = "*"
        return response

    return known
