# Makes gems of what Debian's packages and sources hold, and a compact index of them; run by tools/gems.py in a container.
#
# /build/in/ARCH/…        packages of Debian, unpacked
# /build/in/sources/…     upstream's sources, as Debian has them
# /build/out/             gems/, info/, versions, names: what Bundler asks an index for

require "digest"
require "fileutils"
require "rubygems/package"

IN = "/build/in"
OUT = "/build/out"
PLATFORMS = { "amd64" => "x86_64-linux-gnu", "arm64" => "aarch64-linux-gnu" }.freeze
# Where Debian loosened what upstream asks for; locks are to fit upstream's gems too.
ASKED = { ["sinatra", "logger"] => ">= 1.6.0", ["rack-protection", "logger"] => ">= 1.6.0" }.freeze

def build(spec, folder)
  spec.installed_by_version = nil
  spec.cert_chain = []
  spec.dependencies.each do |each|
    asked = ASKED[[spec.name, each.name]]
    each.instance_variable_set(:@requirement, Gem::Requirement.new(asked)) if asked
  end
  Dir.chdir(folder) do
    FileUtils.mv(Gem::Package.build(spec, true), "#{OUT}/gems/")
  end
end

def files(folder)
  Dir.chdir(folder) { Dir.glob("**/*").select { |each| File.file?(each) }.sort }
end

def installed(root)
  Dir.glob("#{root}/specifications/*.gemspec").sort.each do |path|
    spec = Gem::Specification.load(path)
    yield spec, "#{root}/gems/#{spec.full_name}", "#{root}/extensions"
  end
end

# Gems without machine code: their files stand in the package as in the gem.
def pure
  installed("#{IN}/amd64/usr/share/rubygems-integration/all") do |spec, folder|
    spec.files = files(folder)
    build(spec, folder)
  end
end

# Gems with machine code: ffi as its authors serve it, compiled for each platform; nio4r as its part in Ruby alone, for
# the package has no sources of the other.
def native(arch, platform)
  folder = Dir.glob("#{IN}/#{arch}/usr/lib/*/rubygems-integration/*").first
  installed(folder) do |spec, home, extensions|
    spec.extensions = []
    if spec.name == "nio4r"
      FileUtils.rm_rf("#{home}/ext")
      next unless arch == "amd64"
    else
      Dir.glob("#{extensions}/**/#{spec.full_name}/**/*.so").each do |library|
        FileUtils.cp(library, "#{home}/lib/#{library.split("/#{spec.full_name}/", 2).last}")
      end
      spec.platform = platform
      spec.required_ruby_version = [">= #{RUBY_VERSION[/\d+\.\d+/]}", "< #{RUBY_VERSION[/\d+\.\d+/].succ}.dev"]
    end
    spec.files = files(home)
    build(spec, home)
  end
end

# Gems that come with Ruby, which a lock names as it names any other.
def default(name)
  spec = Gem::Specification.load(Dir.glob("#{Gem.default_specifications_dir}/#{name}-*.gemspec").first)
  folder = "/tmp/#{spec.full_name}"
  Dir.chdir(RbConfig::CONFIG["rubylibdir"]) do
    Dir.glob(["#{name}.rb", "#{name}/**/*.rb"]).each do |each|
      FileUtils.mkdir_p("#{folder}/lib/#{File.dirname(each)}")
      FileUtils.cp(each, "#{folder}/lib/#{each}")
    end
  end
  spec.files = files(folder)
  build(spec, folder)
end

# Gems to be compiled by whoever installs them. Their gemspecs ask git which files there are.
def sources
  FileUtils.mkdir_p("/tmp/bin")
  File.write("/tmp/bin/git", "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nfind \"$@\" -type f | sort\n")
  File.chmod(0o755, "/tmp/bin/git")
  ENV["PATH"] = "/tmp/bin:#{ENV["PATH"]}"
  Dir.glob("#{IN}/sources/*/*.gemspec").sort.each do |path|
    Dir.chdir(File.dirname(path)) { build(Gem::Specification.load(File.basename(path)), Dir.pwd) }
  end
end

def asked(requirement)
  requirement.requirements.map { |operator, version| "#{operator} #{version}" }.sort.join("&")
end

def line(path)
  spec = Gem::Package.new(path).spec
  number = spec.platform == "ruby" ? spec.version.to_s : "#{spec.version}-#{spec.platform}"
  needs = spec.runtime_dependencies.sort_by(&:name).map { |each| "#{each.name}:#{asked(each.requirement)}" }.join(",")
  told = ["checksum:#{Digest::SHA256.file(path).hexdigest}", "ruby:#{asked(spec.required_ruby_version)}"]
  [spec.name, number, "#{number} #{needs}|#{told.join(",")}\n"]
end

def index
  rows = Dir.glob("#{OUT}/gems/*.gem").sort.map { |path| line(path) }
  listed = rows.group_by(&:first).sort.map do |name, own|
    info = "---\n#{own.map(&:last).join}"
    File.write("#{OUT}/info/#{name}", info)
    "#{name} #{own.map { |each| each[1] }.join(",")} #{Digest::MD5.hexdigest(info)}\n"
  end
  File.write("#{OUT}/versions", "created_at: 1980-01-01T00:00:00Z\n---\n#{listed.join}")
  File.write("#{OUT}/names", "---\n#{rows.map(&:first).uniq.sort.join("\n")}\n")
end

%w[gems info].each { |each| FileUtils.mkdir_p("#{OUT}/#{each}") }
pure
PLATFORMS.each { |arch, platform| native(arch, platform) }
default("logger")
sources
index
