# frozen_string_literal: true

require_relative "lib/inventory/web"

run Inventory::Web
